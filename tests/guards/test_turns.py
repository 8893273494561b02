"""Texts that are read together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guards.turns import LENGTH, MANY, REACH, TINY, Joint, joints, unread
from guards.verdict import Span, TextPart

LENGTHS = st.lists(st.sampled_from([0, 1, 5, 31, 40, 200, 383, 385, 1000, 5000]), max_size=60)


def turns(*texts: str, roles: tuple[str, ...] = ("user",)) -> list[TextPart]:
    return [TextPart(f"/messages/{i}/content", roles[i % len(roles)], text) for i, text in enumerate(texts)]


def test_roles_and_parts_of_a_message() -> None:
    parts = [
        TextPart("/messages/0/content", "system", "one"),
        TextPart("/messages/0/name", "system", "aside"),
        TextPart("/messages/1/content/0/text", "user", "two"),
        TextPart("/messages/1/content/1/text", "user", "three"),
        TextPart("/messages/2/content", "user", "four"),
        TextPart("/tools/0", "tool_definition", "schema"),
        TextPart("/tools/0/function/description", "tool_description", "five"),
        TextPart("/tools/1/function/description", "tool_description", "six"),
    ]
    found = [(j.text, j.glued) for j in joints(parts)]
    assert found == [
        ("twothree", True),
        ("two three four", False),
        ("one two three four", False),
        ("five six", False),
    ]


def test_rows_of_a_batch_are_prompts_of_their_own() -> None:
    rows = [TextPart(f"/prompt/{i}", "user", text) for i, text in enumerate(("one", "two", "three"))]
    assert list(joints(rows)) == []
    # the engine would put this text after every row
    assert [j.text for j in joints([*rows, TextPart("/suffix", "assistant", "four")])] == [
        "one two three",
        "one two three four",
    ]


def test_a_single_text_has_no_joint() -> None:
    assert list(joints(turns("only one " * 100))) == []


@given(LENGTHS)
def test_the_joints_are_bounded_and_cover_every_border(lengths: list[int]) -> None:
    texts = [("word " * n)[:n] for n in lengths]
    parts = turns(*texts)
    found = list(joints(parts))
    assert sum(len(j.text) for j in found) <= 2 * sum(len(t) + 1 for t in texts)
    together = [{piece[1] for piece in j.pieces} for j in found]
    filled = [i for i, t in enumerate(texts) if t]
    for one, other in pairwise(filled):
        assert any({one, other} <= numbers for numbers in together)
    for joint in found:
        for start, part, offset, length in joint.pieces:
            assert joint.text[start : start + length] == texts[part][offset : offset + length]


def test_a_longer_conversation_begins_with_the_same_joints() -> None:
    texts = [f"turn number {i} of many" for i in range(400)]
    few, many = list(joints(turns(*texts[:300]))), list(joints(turns(*texts)))
    assert len(few) > 300 * 15 // LENGTH
    assert [j.text for j in few[:-1]] == [j.text for j in many[: len(few) - 1]]
    assert len(many[-1].text) <= LENGTH + REACH


def test_tiny_texts_of_many_are_read_together() -> None:
    parts = turns(*["x" * TINY, "tiny"] * MANY)
    assert unread(parts) == set(range(1, 2 * MANY, 2))
    assert unread(parts[:MANY]) == set()
    alone = [a for j in joints(parts, unread(parts)) for a in j.alone]
    assert True in alone
    assert False in alone


def test_tiny_rows_of_a_large_batch_are_still_read() -> None:
    rows = [TextPart(f"/prompt/{i}", "user", "tiny" if i % 2 else "long " * TINY) for i in range(MANY + 1)]
    alone = unread(rows)
    read = {piece[1] for joint in joints(rows, alone) for piece in joint.pieces}
    assert read == alone != frozenset()


def test_spans_over_pieces() -> None:
    joint = Joint("ab cd ef", ((0, 3, 10, 2), (3, 4, 0, 2), (6, 5, 0, 2)), (True, True, True))
    assert joint.spans(1, 7) == [Span(3, 11, 12), Span(4, 0, 2), Span(5, 0, 1)]
    assert joint.spans(3, 5) == [Span(4, 0, 2)]
