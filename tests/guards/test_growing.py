"""A conversation that comes again, longer by a turn, is read where it ended, and judged as if it were new."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.collector import LONGER, SHORT, Collector
from guards.growing import Growing
from guards.guard import Guard
from guards.memory import Memory
from guards.request import Request
from guards.verdict import TextPart

TEXTS = (
    "Who is Harry",
    "Potter, and who is Hermione?",
    "",
    "The weather is fine today. " * 12,
    "The weather is fine today. " * 90,
    "Hog",
    "warts",
    "Is Draco a constellation?",
    "and Sirius?",
    "no",
)
PLACES = (
    ("content", "user"),
    ("content", "assistant"),
    ("content/0/text", "user"),
    ("content/1/text", "user"),
    ("name", "user"),
    ("tool_calls/0/function/arguments", "assistant"),
)


def request(texts: list[tuple[str, tuple[str, str], bool]]) -> list[TextPart]:
    """Texts at places of messages; the last item says whether a message begins with the text."""
    parts, message = [], -1
    for text, (place, role), begins in texts:
        message += begins or message < 0
        parts.append(TextPart(f"/messages/{message}/{place}", role, text))
    return parts


def known(collected: Request) -> tuple[object, ...]:
    names = {
        policy: sorted({(f.kind, f.number, *collected.spans(n, f.start, f.end), f.sentence) for n, f in found})
        for policy, found in collected.names.items()
        if found
    }
    hits = {policy: sorted(hits) for policy, hits in collected.hits.items() if hits}
    return collected.best.tolist(), names, hits, collected.truncated, round(collected.size, 9)


def collector(guard: Guard) -> Collector:
    return Collector(guard._models, guard.shared.reader, np.full(1, -1.0, np.float32))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(PLACES), st.booleans()), min_size=SHORT, max_size=24),
    st.lists(st.integers(1, 2 * LONGER), max_size=3),
)
def test_the_same_is_known_of_a_conversation_that_came_before(
    guard: Guard, texts: list[tuple[str, tuple[str, str], bool]], shorter: list[int]
) -> None:
    parts, fresh, used = request(texts), collector(guard), collector(guard)
    for less in sorted(shorter, reverse=True):
        used.collect(parts[: max(len(parts) - less, 0)])
    expected = known(fresh.collect(parts))
    assert known(used.collect(parts)) == expected
    assert known(used.collect(parts)) == expected  # what was kept is as it was


def test_only_new_texts_are_read(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, read = collector(guard), []
    turns = request([(f"Turn {i} is about the tides.", PLACES[i % 2], True) for i in range(60)])
    texts.collect(turns[:58])
    weigh = Collector._evidence

    def counted(self: Collector, text: str, digest: bytes) -> object:
        read.append(text)
        return weigh(self, text, digest)

    monkeypatch.setattr(Collector, "_evidence", counted)
    texts.collect(turns)
    assert read == [turns[58].text, turns[59].text]


def test_a_changed_turn_is_read_again(guard: Guard) -> None:
    texts = collector(guard)
    turns = request([(f"Turn {i} is about the tides.", PLACES[i % 2], True) for i in range(30)])
    assert not texts.collect(turns).names
    changed = [*turns]
    changed[3] = TextPart(turns[3].path, turns[3].role, "Who is Harry Potter?")
    assert texts.collect(changed).names
    assert texts.collect([*changed, turns[0]]).names


def test_no_text_is_kept(guard: Guard) -> None:
    texts = collector(guard)
    texts.collect(request([("Was Harry", PLACES[0], True), ("Potter born at sea?", PLACES[0], True)] * 60))
    kept = [value for value, _ in texts._begun._kept.values()]
    assert len(kept) == 1
    assert kept[0].request.names
    assert not {"Harry", "Potter", "born", "sea"} & set(repr(_held(kept[0])).replace("'", " ").split())


def _held(value: object) -> object:
    """Everything that an object refers to, its own kinds opened."""
    if isinstance(value, dict):
        return {str(k): _held(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_held(v) for v in value]
    names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", {})]
    return {name: _held(getattr(value, name)) for name in names} if names else value


def test_beginnings_are_told_apart() -> None:
    memory = Memory[Growing]()
    parts = [TextPart(f"/messages/{i}/content", "user", str(i)) for i in range(12)]
    digests = dict(memory.beginnings(parts, 4))
    assert list(digests) == [12, 11, 10, 9, 8]
    assert dict(memory.beginnings(parts[:10], 7))[9] == digests[9]
    assert dict(memory.beginnings(parts[:1], 8)) == {1: memory.beginnings(parts[:1], 0)[0][1]}
    for path, role, text in (("/messages/0/conten", "tuser", "0"), ("/messages/0/content", "user", "0\0")):
        assert dict(memory.beginnings([TextPart(path, role, text), *parts[1:]], 4))[12] != digests[12]
    assert dict(Memory[Growing]().beginnings(parts, 4))[12] != digests[12]


@given(
    st.lists(st.lists(st.text("\0=#,:0137/ab", max_size=6), min_size=3, max_size=3), min_size=1, max_size=6), st.data()
)
def test_no_other_parts_are_written_alike(fields: list[list[str]], data: st.DataObject) -> None:
    memory, parts = Memory[Growing](), [TextPart(*three) for three in fields]
    last = memory.beginnings(parts, data.draw(st.integers(0, 6)))[0]
    assert last == memory.beginnings(parts, 0)[0]
    flat = "\0".join("\0".join(three) for three in fields).split("\0")
    other = [TextPart(*flat[at : at + 3]) for at in range(0, len(flat) - 2, 3)]
    if other != parts:
        assert memory.beginnings(other, 0)[0][1] != last[1]
