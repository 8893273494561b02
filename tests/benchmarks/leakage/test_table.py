"""The headline as Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.leakage.table import HEAD, markdown

WORST = {"family": "inverse_book", "excess": 0.6, "lo": 0.4, "hi": 0.8, "alike": False}


def arm(direct: float, utility: float | None, ks_d: float | None = None, score: float | None = None) -> dict[str, Any]:
    return {
        "families": {"direct": {"excess": direct}},
        "mixed": {} if score is None else {"mixed_2_forget_first": {"score": score}},
        "ks_d": ks_d,
        "worst": {**WORST, "excess": 0.7},
        "client_auc": {"auc": 0.5},
        "utility": {"ratio": utility},
    }


def test_a_line_per_measurable_system_and_nothing_where_nothing_was_measured() -> None:
    card = {
        "arms": {"a": arm(1.0, 0.99, 0.93, 0.5), "b": arm(0.0, None), "c": arm(0.0, 1.0)},
        "headline": {"a": WORST, "b": {**WORST, "alike": True}, "c": {"family": None}},
    }
    first, rule, *rows = [line.strip("| ").split(" | ") for line in markdown(card).splitlines()]
    assert tuple(first) == HEAD
    assert set(rule) == {"---"}
    assert rows[0] == [
        "a",
        "inverse_book 0.60 [0.40, 0.80]",
        "inverse_book 0.70 (1)",
        "1.00",
        "",
        "0.50",
        "0.93",
        "0.50",
        "0.99",
    ]
    assert rows[1][:2] == ["b", "inverse_book 0.60 [all authors alike]"]
    assert len(rows) == 2
