"""Prompts of a completions request -> token spans."""

from __future__ import annotations

from typing import Any

import pytest

from steering.engine.mask import MaskError
from steering.engine.order import Order
from steering.engine.prompts import Prompt, check_windows, decode, find_prompts, whole_spans, window_spans

Windows = dict[str, list[tuple[int, int]]]


def order(windows: Windows) -> Order:
    return Order(program="p123456@1", dose=1.0, mask="entities", windows=windows)


class Bytes:
    """A tokenizer whose ids are bytes of UTF-8."""

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize(
    ("prompt", "windows", "found"),
    [
        ("Alice", {"/prompt": [(0, 5)]}, [("Alice", [(0, 5)])]),
        (["Alice"], {"/prompt/0": [(0, 5)]}, [("Alice", [(0, 5)])]),
        ([7, 8], {"/prompt": [(0, 99)]}, [(None, [(0, 99)])]),
        ([[7, 8]], {"/prompt/0": [(0, 2)]}, [(None, [(0, 2)])]),
        (["", "Alice", "b"], {"/prompt/1": [(0, 2), (2, 3)]}, [("", []), ("Alice", [(0, 2), (2, 3)]), ("b", [])]),
        ([[7], [8]], {"/prompt/1": [(0, 1)], "/prompt/5": []}, [(None, []), (None, [(0, 1)])]),
    ],
)
def test_prompts_and_their_windows(prompt: Any, windows: Windows, found: list[Prompt]) -> None:
    assert find_prompts(prompt, order(windows)) == found


@pytest.mark.parametrize(
    ("prompt", "windows", "problem"),
    [
        ("Alice", {"/prompt/0": [(0, 5)]}, "/prompt/0 is not a prompt"),
        (["Alice", "b"], {"/prompt": [(0, 5)]}, "/prompt is not a prompt"),
        (["Alice", "b"], {"/prompt/0": [(0, 5)], "/prompt/2": [(0, 5)]}, "/prompt/2 is not a prompt"),
        (["Alice", "b"], {"/prompt/01": [(0, 1)]}, "/prompt/01 is not a prompt"),
        ([7, 8], {"/prompt/1": [(0, 1)]}, "/prompt/1 is not a prompt"),
        ("Alice", {"/messages/0/content": [(0, 1)]}, "is not a prompt"),
        ("Alice", {"/prompt": [(0, 6)]}, "window 0:6"),
        ([], {"/prompt": [(0, 1)]}, "must be a string"),
        (None, {"/prompt": [(0, 1)]}, "must be a string"),
        (["Alice", 7], {"/prompt/0": [(0, 1)]}, "must be a string"),
    ],
)
def test_windows_without_their_prompt_are_refused(prompt: Any, windows: Windows, problem: str) -> None:
    with pytest.raises(MaskError, match=problem):
        find_prompts(prompt, order(windows))


@pytest.mark.parametrize("windows", [[(0, 0)], [(3, 2)], [(-1, 2)], [(2, 4), (0, 1)], [(0, 3), (2, 4)], [(4, 6)]])
def test_bad_windows(windows: list[tuple[int, int]]) -> None:
    check_windows("Alice", [(0, 2), (2, 5)])
    with pytest.raises(MaskError, match="outside of the text, overlaps or is out of order"):
        check_windows("Alice", windows)


def test_token_ids_are_placed_in_their_text() -> None:
    text, offsets = decode(Bytes(), list(b"a bc"))
    assert (text, offsets) == ("a bc", [(0, 1), (1, 2), (2, 3), (3, 4)])
    assert window_spans(offsets, [(2, 4)]) == [2, 4]
    assert window_spans(offsets, []) == []


def test_every_token_counts_where_a_character_is_split() -> None:
    ids = list("é a".encode())
    text, offsets = decode(Bytes(), ids)
    assert text == "é a"
    assert window_spans(offsets, [(2, 3)]) == [0, 4]
    assert window_spans(offsets, []) == []


def test_masks_that_reach_no_token_are_refused() -> None:
    with pytest.raises(MaskError, match="reaches"):
        window_spans([(0, 0), (0, 3)], [(3, 5)])
    assert whole_spans(5, templated=True) == [1, 4]
    assert whole_spans(2, templated=True) == [0, 2]
    assert whole_spans(5, templated=False) == [0, 5]
    assert whole_spans(1, templated=False) == [0, 1]
