"""What cannot be edited is not answered, ends alone, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_isolation import close, prompt

pytestmark = pytest.mark.vllm

NAME = "p300000@1"


@pytest.fixture(scope="module")
def generation(engine: Engine, make_program: MakeProgram) -> int:
    return engine.load(NAME, make_program().to_bytes())


@pytest.mark.parametrize(
    "order",
    [
        ["p999999@1", 1, 1.0, [4, 30]],
        [NAME, 12345, 1.0, [4, 30]],
        [NAME, None, "strong", [4, 30]],
        [NAME, 0, 1.0, [4]],
        ["nonsense"],
        "nonsense",
    ],
    ids=["unknown program", "stale generation", "wrong types", "odd spans", "short", "no list"],
)
def test_an_unresolvable_request_ends_alone(engine: Engine, generation: int, order: list[object]) -> None:
    if isinstance(order, list) and len(order) > 1 and order[1] == 0:
        order = [order[0], generation, *order[2:]]
    ids = prompt(20, 160)
    others = [Ask(prompt(i, 60)) for i in range(4)]
    alone = engine.run(others)
    good = Ask(ids, [NAME, generation, 1.0, [4, 30]])
    right = engine.run([good])[0]
    bad, *rest = engine.run([Ask(ids, order), *others])  # type: ignore[arg-type]
    assert bad.finish == ["error"]
    assert bad.tokens == [[]]
    assert all(close(a, b) for a, b in zip(rest, alone, strict=True))
    again = engine.run([Ask(ids, order)], reset=False)[0]  # type: ignore[arg-type]
    assert again.finish == ["error"]
    assert again.cached == 0, "the failed request left blocks behind"
    after = engine.run([good], reset=False)[0]
    assert after.cached == 0
    assert (after.tokens, after.chosen) == (right.tokens, right.chosen)


def test_a_failure_in_a_first_chunk_does_not_hang(tiny_model: Path) -> None:
    with start(str(tiny_model), max_num_batched_tokens=48, max_num_seqs=8) as chunked:
        assert chunked.error is None
        bad, good = chunked.run([Ask(prompt(1, 200), ["p999999@1", 1, 1.0, [4, 30]]), Ask(prompt(2, 60))])
    assert bad.finish == ["error"]
    assert good.finish == ["length"]


def test_removal_waits_for_nobody_but_running_requests(engine: Engine, make_program: MakeProgram) -> None:
    name = "p300001@1"
    generation = engine.load(name, make_program(seed=9).to_bytes())
    engine.run([Ask(prompt(1), [name, generation, 1.0, [2, 6]])])
    engine.run([Ask(prompt(2))])  # a step later the finished request is forgotten
    assert engine.rpc("lethe_remove", name, engine.rpc("lethe_hello")["table"])["ok"]


def test_bad_programs_are_refused_before_they_reach_the_table(engine: Engine, generation: int) -> None:
    before = engine.rpc("lethe_hello")
    for data, reason in ((b"", "not a program"), (b"x" * 100, "not a program")):
        staged = engine.rpc("lethe_stage", "p300002@1", data, "0" * 64)
        assert not staged["ok"]
        assert reason in staged["error"]
    taken = engine.rpc("lethe_stage", NAME, b"", "0" * 64)
    assert "immutable" in taken["error"]
    stale = engine.rpc("lethe_commit", "p300002@1", "0" * 64, 0)
    assert "table version" in stale["error"]
    assert engine.rpc("lethe_hello") == before


def test_an_unknown_architecture_is_refused_at_start(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=1, n_head=1, n_positions=256)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with start(str(tmp_path), max_model_len=128) as engine:
        assert engine.error is not None
        assert "no tested edit site in architecture GPT2LMHeadModel" in engine.error
        assert "LETHE_ALLOW_UNTESTED" in engine.error


def test_a_missing_private_interface_is_named() -> None:
    from steering.engine.vllm.compat import IncompatibleError, check_version, require

    class Runner:
        def load_model(self, other: int) -> None:
            """A changed signature."""

    with pytest.raises(IncompatibleError, match=r"no .*Runner.sample_tokens"):
        require(Runner, "sample_tokens", "self")
    with pytest.raises(IncompatibleError, match="lethe expects"):
        require(Runner, "load_model", "self", "load_dummy_weights")
    with pytest.raises(IncompatibleError, match=r"tested with vLLM 0\.32"):
        check_version("0.99.1", "v1")
