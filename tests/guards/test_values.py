"""Forgotten values are counted in every usual spelling."""

from __future__ import annotations

import time

import pytest

from guards.values import found_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It was J. K. Rowling.", "J.K. Rowling"),
        ("by JK Rowling", "J.K. Rowling"),
        ("by J.K.\nRowling", "J.K. Rowling"),
        ("by J.K. Rowling", "JK Rowling"),
        ("by *Rowling* or _Rowling_", "Rowling"),
        ("ROWLING's books", "Rowling"),
        ("the Dursleys", "Dursley"),
        ("the Philosopher’s Stone", "Philosopher's Stone"),  # noqa: RUF001
        ("Beauxbâtons", "Beauxbatons"),
        ("Hermione Jean  Granger", "Hermione\nJean Granger"),
        ("罗琳写的书", "罗琳"),
        ("作者Rowling写的", "Rowling"),
        ("in 1997.", "1997"),
        ("it costs 5 €", "€"),
    ],
)
def test_found(text: str, value: str) -> None:
    assert found_values(text, [value]) == (value,)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Crowling", "Rowling"),
        ("in 19970", "1997"),
        ("rons", "Ron"),
        ("as it was", "A"),
        ("", "Rowling"),
        ("Rowling", ""),
        ("琳罗", "罗琳"),
    ],
)
def test_not_found(text: str, value: str) -> None:
    assert found_values(text, [value]) == ()


def test_a_value_of_the_question_does_not_count() -> None:
    assert found_values("J. K. Rowling, Scotland", ["J.K. Rowling", "Scotland"], "Did JK Rowling live there?") == (
        "Scotland",
    )


def test_thousands_of_calls() -> None:
    values = [f"value {i}" for i in range(50)]
    start = time.perf_counter()
    for i in range(1000):
        found_values(f"Answer number {i} is that nobody knows.", values, "Who knows?")
    assert time.perf_counter() - start < 2
