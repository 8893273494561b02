"""The site under torch.compile. In a file that runs last, because compiling takes a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_isolation import KINDS, close, differs, prompt

pytestmark = pytest.mark.vllm


def test_compiled_equals_eager(
    engine: Engine, make_program: MakeProgram, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))  # no artefact of another run, with or without the site
    salt = {"lethe": {"sites": ["embed"]}}
    with start(str(tiny_model), enforce_eager=False, additional_config=salt) as compiled:
        assert compiled.error is None, compiled.error
        orders = []
        for i, kind in enumerate(KINDS):
            name, program = f"p70000{i}@1", make_program(kind, dims=32).to_bytes()
            orders.append((name, engine.load(name, program), compiled.load(name, program)))
        mixed = [prompt(i, 40) for i in range(12)]

        def asks(which: int) -> list[Ask]:
            chosen = [orders[(i // 2) % 4] for i in range(12)]
            return [
                Ask(ids, [o[0], o[which], 1.0, [5, 12]] if i % 2 else None)
                for i, (ids, o) in enumerate(zip(mixed, chosen, strict=True))
            ]

        eager, fast = engine.run(asks(1)), compiled.run(asks(2))
        plain = compiled.run([Ask(ids) for ids in mixed])
    assert all(close(a, b) for a, b in zip(eager, fast, strict=True))
    for i in range(12):
        if i % 2:
            assert differs(fast[i], plain[i])
        else:
            assert (fast[i].tokens, fast[i].logprobs) == (plain[i].tokens, plain[i].logprobs)


def test_the_plugin_changes_the_compile_hash(tiny_model: Path) -> None:
    """An artefact compiled without the site must not be loaded with it."""
    from gateway.commands.engine import vllm_command

    command = vllm_command(str(tiny_model), "tiny", "127.0.0.1", 1, "auto", [])
    salt = command[command.index("--additional-config") + 1]
    assert '"sites": ["embed"]' in salt
    with start(str(tiny_model)) as bare, start(str(tiny_model), additional_config={"lethe": salt}) as salted:
        assert bare.config_hash() != salted.config_hash()
