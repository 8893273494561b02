"""Evidence is kept within a bound of bytes."""

from __future__ import annotations

import numpy as np

from guards.evidence import Evidence
from guards.memory import MOST, Memory


def evidence(hits: int) -> Evidence:
    return Evidence(np.zeros(4, np.float32), {}, {0: [(1.0, i, i + 1) for i in range(hits)]})


def test_the_charge_is_bounded_and_the_oldest_go_first() -> None:
    memory = Memory[Evidence](limit=300_000)
    digests = [memory.digest(f"text {i}") for i in range(10)]
    for digest in digests:
        memory.keep(digest, evidence(200))
        memory.get(digests[0])
    assert 0 < memory.charged <= 300_000
    assert [memory.get(d) is not None for d in digests] == [True] + [False] * 5 + [True] * 4


def test_a_text_full_of_names_is_not_kept() -> None:
    memory = Memory[Evidence]()
    memory.keep(memory.digest("a"), evidence(MOST + 1))
    assert (len(memory), memory.charged) == (0, 0)
    for _ in range(2):
        memory.keep(memory.digest("a"), evidence(MOST))
    assert len(memory) == 1


def test_readings_of_one_text_are_told_apart() -> None:
    memory = Memory[Evidence]()
    assert memory.digest("a", "b") != memory.digest("a") != memory.digest("ab")
    assert memory.digest("a") != Memory().digest("a")
    assert memory.digest("\ud800")
