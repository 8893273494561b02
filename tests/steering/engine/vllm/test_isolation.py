"""The invariants E1 and E2 of the plug-in on a real vLLM: who is edited, and that nobody else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, Got, start

pytestmark = pytest.mark.vllm

KINDS = ("noise", "zero_top_k", "flip_top_k", "replace")
LENGTH = 40


def prompt(number: int, length: int = LENGTH) -> list[int]:
    return [6 + (number * 7919 + 104729 * i) % 3000 for i in range(length)]


def differs(a: Got, b: Got) -> bool:
    return a.tokens != b.tokens or a.chosen != b.chosen


def close(a: Got, b: Got) -> bool:
    """E2: log-probabilities within 1e-4; tokens equal unless the two best were within 1e-3."""
    for x, y, s, t in zip(a.logprobs[0], b.logprobs[0], a.tokens[0], b.tokens[0], strict=False):
        if s != t:
            return abs(x[s] - y[t]) < 1e-3
        if abs(x[s] - y[t]) > 1e-4:
            return False
    return len(a.tokens[0]) == len(b.tokens[0])


@pytest.fixture(scope="module")
def generations(engine: Engine, make_program: MakeProgram) -> dict[str, int]:
    return {k: engine.load(f"p10000{i}@1", make_program(k, dims=64).to_bytes()) for i, k in enumerate(KINDS)}


def order(generations: dict[str, int], kind: str, spans: list[int], dose: float = 1.0) -> list[object]:
    return [f"p10000{KINDS.index(kind)}@1", generations[kind], dose, spans]


def test_e1_unflagged_rows_keep_their_bits(engine: Engine, generations: dict[str, int], tiny_model: Path) -> None:
    plain = [Ask(prompt(i)) for i in range(16)]
    mixed = [
        Ask(prompt(i), order(generations, KINDS[(i // 2) % 4], [5, 12, 20, 23])) if i % 2 else Ask(prompt(i))
        for i in range(16)
    ]
    with start(str(tiny_model), plugin=False) as bare:
        assert bare.error is None
        with pytest.raises(RuntimeError, match="lethe_hello"):
            bare.rpc("lethe_hello")
        absent, repeated = bare.run(plain), bare.run(plain)
    assert absent == repeated, "the baseline does not repeat itself: the comparison would be void"
    loaded, flagged = engine.run(plain), engine.run(mixed)
    assert loaded == absent
    for i in range(16):
        if i % 2:
            assert differs(flagged[i], absent[i])
            assert flagged[i].record is not None
            assert flagged[i].record[3:] == [10, 0, "ok"]
        else:
            assert (flagged[i].tokens, flagged[i].logprobs) == (absent[i].tokens, absent[i].logprobs)


def test_every_flagged_row_equals_its_solo_run(engine: Engine, generations: dict[str, int]) -> None:
    mixed = [Ask(prompt(i, 20 + 3 * i), order(generations, KINDS[i % 4], [3, 9]) if i % 3 else None) for i in range(16)]
    together = engine.run(mixed)
    solo = [engine.run([ask])[0] for ask in mixed]
    assert all(close(a, b) for a, b in zip(together, solo, strict=True))


def test_dose_zero_point_something_moves_less_than_one(engine: Engine, generations: dict[str, int]) -> None:
    asks = [Ask(prompt(1), order(generations, "noise", [5, 12], dose)) for dose in (1e-6, 1.0)]
    base = engine.run([Ask(prompt(1))])[0]
    little, much = (engine.run([ask])[0] for ask in asks)
    assert abs(little.chosen[0] - base.chosen[0]) < 1e-3 < abs(much.chosen[0] - base.chosen[0])


@pytest.mark.parametrize("first", ["flagged", "unflagged"])
def test_flagged_and_unflagged_share_no_block(engine: Engine, generations: dict[str, int], first: str) -> None:
    ids = prompt(2, 160)
    asks = {"flagged": Ask(ids, order(generations, "noise", [4, 30]), salt="s"), "unflagged": Ask(ids, salt="s")}
    second = "unflagged" if first == "flagged" else "flagged"
    alone = engine.run([asks[second]])[0]
    engine.run([asks[first]])
    after = engine.run([asks[second]], reset=False)[0]
    assert after.cached == 0
    assert (after.tokens, after.chosen) == (alone.tokens, alone.chosen)
    again = engine.run([asks[second]], reset=False)[0]
    assert again.cached >= 128, "a legitimate hit must be possible, or the test says nothing"
    assert close(again, alone)


@pytest.mark.parametrize("turned", [False, True])
def test_two_masks_of_one_policy_share_only_what_is_equal(
    engine: Engine, generations: dict[str, int], turned: bool
) -> None:
    shared = prompt(3, 128)
    asks = [
        Ask(shared + prompt(4, 40), order(generations, "noise", [20, 26, 140, 143])),
        Ask(shared + prompt(5, 40), order(generations, "noise", [70, 74])),
    ]
    if turned:
        asks.reverse()
    alone = engine.run([asks[1]])[0]
    engine.run([asks[0]])
    after = engine.run([asks[1]], reset=False)[0]
    assert after.cached < 64  # the masks differ from the first or third block of 32 tokens on
    assert close(after, alone)


def test_equal_masks_of_one_policy_do_share_their_prefix(engine: Engine, generations: dict[str, int]) -> None:
    shared = prompt(3, 128)
    asks = [Ask(shared + prompt(n, 40), order(generations, "noise", [20, 26])) for n in (4, 5)]
    alone = engine.run([asks[1]])[0]
    engine.run([asks[0]])
    after = engine.run([asks[1]], reset=False)[0]
    assert after.cached == 128
    assert close(after, alone)
    assert after.record is not None
    assert after.record[3:] == [0, 6, "ok"]  # the masked tokens came, edited, from the cache


def test_a_new_version_reuses_no_kv(engine: Engine, make_program: MakeProgram) -> None:
    ids, spans = prompt(6, 160), [4, 30]
    old = engine.load("p200000@1", make_program(seed=1).to_bytes())
    first = engine.run([Ask(ids, ["p200000@1", old, 1.0, spans])])[0]
    new = engine.load("p200000@2", make_program(seed=2).to_bytes())
    second = engine.run([Ask(ids, ["p200000@2", new, 1.0, spans])], reset=False)[0]
    assert second.cached == 0
    assert differs(first, second)
    # The same name loaded again after a removal is another generation.
    engine.run([Ask(prompt(7))], reset=False)  # offline, the end of a request reaches the worker with the next step
    assert engine.rpc("lethe_remove", "p200000@2", engine.rpc("lethe_hello")["table"])["ok"]
    third = engine.load("p200000@2", make_program(seed=3).to_bytes())
    assert third > new
    fourth = engine.run([Ask(ids, ["p200000@2", third, 1.0, spans])], reset=False)[0]
    assert fourth.cached == 0
    assert differs(fourth, second)


def test_three_choices(engine: Engine, generations: dict[str, int]) -> None:
    options = {"n": 3, "temperature": 1.0, "seed": 11}
    flagged, bare = engine.run(
        [Ask(prompt(8), order(generations, "noise", [5, 38]), options=options), Ask(prompt(8), options=options)]
    )
    assert len(flagged.tokens) == len(bare.tokens) == 3
    assert flagged.tokens != bare.tokens
    # All choices read the one edited prompt: the likeliest first token has the log-probability of a solo run.
    solo = engine.run([Ask(prompt(8), order(generations, "noise", [5, 38]))])[0]
    best = solo.tokens[0][0]
    assert all(abs(rows[0][best] - solo.chosen[0]) < 1e-4 for rows in flagged.logprobs)


def test_chunked_prefill_and_preemption_change_nothing(
    engine: Engine, generations: dict[str, int], make_program: MakeProgram, tiny_model: Path
) -> None:
    orders = [order(generations, KINDS[i % 4], [3, 9, 44, 60]) if i % 2 else None for i in range(12)]
    asks = [Ask(prompt(i, 90), orders[i], options={"max_tokens": 60}) for i in range(12)]
    reference = engine.run(asks)
    small = {"max_model_len": 160, "max_num_batched_tokens": 48, "max_num_seqs": 8}
    for blocks in (None, 11):
        override = {} if blocks is None else {"num_gpu_blocks_override": blocks}
        with start(str(tiny_model), **small, **override) as other:
            assert other.error is None, other.error
            loaded: dict[str, int] = {}
            for i, kind in enumerate(KINDS):
                loaded[kind] = other.load(f"p10000{i}@1", make_program(kind, dims=64).to_bytes())
            orders = [order(loaded, KINDS[i % 4], [3, 9, 44, 60]) if i % 2 else None for i in range(12)]
            got = other.run([replace(ask, order=o) for ask, o in zip(asks, orders, strict=True)])
            preemptions = other.metric("vllm:num_preemptions")
        assert (preemptions > 0) == (blocks is not None)
        assert all(close(a, b) for a, b in zip(got, reference, strict=True))
        for i, answer in enumerate(got):
            if i % 2:
                assert answer.record is not None
                assert answer.record[3] + answer.record[4] == 22
                assert answer.record[5] == "ok"
