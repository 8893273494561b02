"""Windows of a request -> token spans of its rendered prompt."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.engine.mask import MaskError, mark, pick_marks, size, token_spans, unmark

PLAIN = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}<|assistant|>\n"
TRIM = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
TWICE = "{{ messages[0].content }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
DROPS = "{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}{% endif %}{% endfor %}"
CUTS = "{% for m in messages %}{{ m.content[:4] }}{% endfor %}"


def found(template: str, messages: list[dict[str, Any]], windows: dict[str, list[tuple[int, int]]]) -> list[str]:
    body = {"messages": messages}
    marks = pick_marks(body)
    rendered = jinja2.Template(template).render(**mark(body, windows, marks))
    text, spans = unmark(rendered, marks)
    assert text == jinja2.Template(template).render(**body)
    return [text[a:b] for a, b in spans]


@pytest.mark.parametrize("template", [PLAIN, TRIM])
def test_windows_are_found_where_the_template_puts_them(template: str) -> None:
    messages = [{"role": "system", "content": "user"}, {"role": "user", "content": "  who is Alice Liddell? "}]
    assert found(template, messages, {"/messages/1/content": [(9, 22)]}) == ["Alice Liddell"]
    assert found(template, messages, {"/messages/0/content": [(0, 4)]}) == ["user"]  # content that equals a role name


def test_copies_are_all_found_and_dropped_parts_are_not() -> None:
    alice = [{"role": "user", "content": "Alice"}, {"role": "assistant", "content": "Alice"}]
    assert found(TWICE, alice, {"/messages/0/content": [(0, 5)]}) == ["Alice", "Alice"]
    assert found(DROPS, alice, {"/messages/1/content": [(0, 5)]}) == []


def test_a_template_that_cuts_a_window_is_refused() -> None:
    with pytest.raises(MaskError, match="cuts"):
        found(CUTS, [{"role": "user", "content": "Alice Liddell"}], {"/messages/0/content": [(0, 13)]})


def test_parts_tools_and_escaped_pointers() -> None:
    body = {"messages": [{"content": [{"type": "text", "text": "hi Bob"}]}], "tools": [{"a/b": {"~": "on Bob"}}]}
    marks = pick_marks(body)
    out = mark(body, {"/messages/0/content/0/text": [(3, 6)], "/tools/0/a~1b/~0": [(3, 6)]}, marks)
    assert out["messages"][0]["content"][0]["text"] == f"hi {marks[0]}Bob{marks[1]}"
    assert out["tools"][0]["a/b"]["~"] == f"on {marks[0]}Bob{marks[1]}"
    assert body["tools"][0]["a/b"]["~"] == "on Bob", "the body itself is untouched"


@pytest.mark.parametrize(
    ("pointer", "ranges"),
    [
        ("/messages/0/content", [(0, 6)]),
        ("/messages/0/content", [(2, 2)]),
        ("/messages/0/content", [(3, 5), (0, 2)]),
        ("/messages/0/content", [(0, 3), (2, 5)]),
        ("/messages/0/content", [(-1, 2)]),
        ("/messages/1/content", [(0, 1)]),
        ("/messages/0/name", [(0, 1)]),
        ("/messages/x", [(0, 1)]),
        ("/messages", [(0, 1)]),
        ("", [(0, 1)]),
    ],
)
def test_windows_that_are_not_there_are_refused(pointer: str, ranges: list[tuple[int, int]]) -> None:
    body = {"messages": [{"role": "user", "content": "Alice"}]}
    with pytest.raises(MaskError):
        mark(body, {pointer: ranges}, pick_marks(body))


def test_marks_avoid_what_the_user_wrote() -> None:
    body = {"prompt": "".join(chr(0xF0000 + i) for i in range(50))}
    assert not set(pick_marks(body)) & set(body["prompt"])


def test_tokens_that_overlap_are_taken_whole() -> None:
    offsets = [(0, 0), (0, 3), (3, 6), (6, 6), (6, 9), (9, 12)]
    assert token_spans(offsets, [(4, 7)]) == [2, 3, 4, 5]
    assert token_spans(offsets, [(3, 6), (6, 9)]) == [2, 3, 4, 5]
    assert token_spans(offsets, []) == []
    assert size([2, 3, 4, 8]) == 5


@given(
    widths=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    spans=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6),
)
def test_token_spans_equal_the_plain_definition(widths: list[int], spans: list[tuple[int, int]]) -> None:
    offsets, at = [], 0
    for width in widths:
        offsets.append((at, at + width))
        at += width
    flat = token_spans(offsets, spans)
    taken = {i for a, b in zip(flat[::2], flat[1::2], strict=True) for i in range(a, b)}
    assert taken == {i for i, (a, b) in enumerate(offsets) if b > a and any(s < b and a < e for s, e in spans if s < e)}
