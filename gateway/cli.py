"""The command `lethe`. Modules of commands are cheap to import; what is heavy is imported inside the command."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from gateway.commands import audit, bench, guard, models, policies
from gateway.commands.check import check
from gateway.commands.compile import compile_policy
from gateway.commands.demo import demo
from gateway.commands.engine import engine
from gateway.commands.keygen import keygen
from gateway.commands.serve import serve

COMMANDS = (demo, serve, check, keygen)
GROUPS = {"audit": audit.app, "bench": bench.app, "guard": guard.app, "models": models.app, "policies": policies.app}

EXTRAS = {"torch": "engine", "transformers": "engine", "gguf": "engine", "vllm": "vllm", "openai": "demo"}
EXTRAS |= {"matplotlib": "dev", "rouge_score": "dev"}
"""Library -> the extra that brings it."""


class Commands(TyperGroup):
    """The commands; a library that is not installed is named with the extra that brings it."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            extra = EXTRAS.get(error.name or "")
            if error.name == "benchmarks":
                told = "the benchmarks are not in the wheel: run this in a checkout of the project"
            elif extra is not None:
                told = f"{error.name} is not installed: pip install 'lethe-llm[{extra}]'"
            else:
                raise
            typer.secho(told, fg="red", err=True)
            raise typer.Exit(1) from None


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="lethe",
        cls=Commands,
        help="Makes a served language model behave as if it had never learned something.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,  # locals hold keys and texts
    )
    for command in COMMANDS:
        app.command()(command)
    app.command("compile")(compile_policy)
    # what `lethe engine` does not know goes to vLLM unchanged
    app.command("engine", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(engine)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    return app


main = build()
"""Entry point; a Typer application holds no state of ours."""

if __name__ == "__main__":
    main()
