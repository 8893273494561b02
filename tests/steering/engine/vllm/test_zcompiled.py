"""The sites under torch.compile. In a file that runs last, because compiling takes a minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.engine.local.model import LocalModel
from steering.engine.vllm.assistants import reserved
from steering.engine.vllm.bank import EditSites, configured
from steering.program import AnyProgram
from tests.steering.engine.local.test_assistants import difference
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_edit import CONFIG, cast, nullspace, projection, redirect
from tests.steering.engine.vllm.test_isolation import KINDS, close, differs, prompt

pytestmark = pytest.mark.vllm

SITES = {"lethe": {**CONFIG["lethe"], "assistants": [2, 2, 2]}}
ROWS = 20


@pytest.fixture(scope="module")
def eager(tiny_model: Path) -> Iterator[Engine]:
    """An engine with the same edit sites that compiles nothing."""
    with start(str(tiny_model), additional_config=SITES, max_num_seqs=ROWS) as engine:
        assert engine.error is None, engine.error
        yield engine


def test_compiled_equals_eager(
    eager: Engine, make_program: MakeProgram, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))  # no artefact of another run, with or without the sites
    with start(str(tiny_model), enforce_eager=False, additional_config=SITES, max_num_seqs=ROWS) as compiled:
        assert compiled.error is None, compiled.error
        orders = []
        programs: list[AnyProgram] = [make_program(kind, dims=32) for kind in KINDS]
        edits = [make(tiny_model) for make in (redirect, projection, nullspace, cast)]
        local = LocalModel.load(tiny_model)
        differences = [difference(local, "twin"), difference(local, "uld")]
        for i, program in enumerate((*programs, *edits, *differences)):
            name, data = f"p70000{i}@1", program.to_bytes()
            orders.append((name, eager.load(name, data), compiled.load(name, data)))
        mixed = [prompt(i, 40) for i in range(ROWS)]

        def asks(which: int) -> list[Ask]:
            chosen = [orders[i // 2] for i in range(ROWS)]
            return [
                Ask(ids, [o[0], o[which], 1.0, [5, 12]] if i % 2 else None)
                for i, (ids, o) in enumerate(zip(mixed, chosen, strict=True))
            ]

        slow, fast = eager.run(asks(1)), compiled.run(asks(2))
        plain = compiled.run([Ask(ids) for ids in mixed])
    assert all(close(a, b) for a, b in zip(slow, fast, strict=True))
    for i in range(ROWS):
        if i % 2:
            assert differs(fast[i], plain[i])
        else:
            assert (fast[i].tokens, fast[i].logprobs) == (plain[i].tokens, plain[i].logprobs)


def test_the_plugin_changes_the_compile_hash(tiny_model: Path) -> None:
    """An artefact compiled without the site must not be loaded with it."""
    from gateway.commands.engine import vllm_command

    salt, edits = (
        command[command.index("--additional-config") + 1]
        for command in (
            vllm_command(str(tiny_model), "tiny", "127.0.0.1", 1, "auto", [], layers, (2, 2)[: len(layers)])
            for layers in ((), (0, 2))
        )
    )
    assert '"sites": ["embed"]' in salt
    assert configured(json.loads(salt)).layers == ()
    assert configured(json.loads(edits)) == EditSites((0, 2), 64)
    assert (reserved(json.loads(salt)), reserved(json.loads(edits))) == ((), (2, 2))
    with start(str(tiny_model)) as bare, start(str(tiny_model), additional_config={"lethe": salt}) as salted:
        assert bare.config_hash() != salted.config_hash()
