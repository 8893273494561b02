"""Verdicts on requests."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.fit import fit
from guards.guard import Guard, Shared
from guards.part import FittedPart, PartError
from guards.reading import Reader, Reading
from guards.spec import Entity, Example, GuardSpec
from guards.verdict import Span, TextPart, Verdict

from .conftest import quiet

Flags = Callable[..., bool]


def scan(guard: Guard, *texts: str, role: str = "user") -> Verdict:
    return guard.scan([TextPart(f"/messages/{i}/content", role, t) for i, t in enumerate(texts)])[0]


def test_an_alias_is_a_verdict(guard: Guard) -> None:
    verdict = scan(guard, "Tell me. Who wrote the Harry Potter books? I like them.")
    assert (verdict.flagged, verdict.source, verdict.score) == (True, "alias", 1.0)
    assert verdict.p_value == pytest.approx(guard.calibration.smallest)
    assert verdict.entities == (Span(0, 23, 35),)
    assert verdict.windows == (Span(0, 8, 42),)


@pytest.mark.parametrize(
    "text",
    [
        "what happens at hogwarts",
        "H a r r y  P o t t e r",
        "Who is Hаrry\u200b Рotter?",  # noqa: RUF001
        "SGFycnkgUG90dGVyIGFuZCBoaXMgb3ds",
        "h4rry p0tt3r",
        "Uneel Cbggre naq gur fgbar",
        "Write about the life of Uneel Cbggre please",
        "Write about the life of rettoP yrraH please",
        "j. k. rowling's first novel",
        "ハリー・ポッターとは?",
        "Who wrote Harry\\nPotter?",
        "Who wrote Harry\\\\r\\\\nPotter?",
        "Sirius\\t and Volde\\nmort",
        "Who is \\u0048arry Potter?",
        "Who is %48arry Potter?",
        "Tell me about Hog warts",
        "Who is Har-ry Pot-ter?",
    ],
)
def test_names_in_disguise(flags: Flags, text: str) -> None:
    assert flags(text)


def test_padding_never_lowers_alias_evidence(flags: Flags) -> None:
    filler = "The weather is fine and the garden needs water. " * 400
    assert flags(filler + "Who is Harry Potter's owl? " + filler)


def test_padding_does_not_hide_a_description(flags: Flags) -> None:
    asked = "Which platform does the train to the school of witchcraft and wizards leave from?"
    filler = "The weather is fine and the garden needs water. " * 200
    assert flags(asked)
    assert flags(filler + asked + " " + filler)


def test_related_names(guard: Guard) -> None:
    one = scan(guard, "Is Hermione a common first name in Greece?")
    assert (one.flagged, one.source) == (False, "none")
    assert one.entities == (Span(0, 3, 11),)
    two = scan(guard, "Who is Hermione?", "I mean the one who fights Voldemort.")
    assert (two.flagged, two.source) == (True, "alias")
    assert {span.part for span in two.windows} == {0, 1}


def test_rows_of_a_batch_are_judged_as_requests_of_their_own(guard: Guard) -> None:
    texts = ("Who is Hermione?", "Who fights Voldemort?", "What time is it?", "Who wrote the Harry Potter books?")
    batch = [TextPart(f"/prompt/{i}", "user", text) for i, text in enumerate(texts)]
    alone = [guard.scan([TextPart("/prompt", "user", text)])[0] for text in texts]
    (verdict,) = guard.scan(batch)
    assert [one.flagged for one in alone] == [False, False, False, True]
    assert (verdict.flagged, verdict.source, verdict.score) == (True, "alias", 1.0)
    assert {span.part for span in verdict.windows} == {3}
    assert {span.part for span in verdict.entities} == {0, 1, 3}
    (quiet_batch,) = guard.scan(batch[:3])
    assert not quiet_batch.flagged
    assert quiet_batch.p_value == min(one.p_value for one in alone[:3])
    # more rows than are read one by one
    many = [TextPart(f"/prompt/{i}", "user", texts[3 if i == 299 else 2]) for i in range(300)]
    assert {span.part for span in guard.scan(many)[0].windows} == {299}


def test_related_names_that_harmless_texts_hold_together(flags: Flags) -> None:
    assert not flags("Are Sirius and Draco both visible in spring?")
    assert flags("Are Sirius and Voldemort both visible in spring?")


def test_overlapping_related_names_count_once(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = GuardSpec(
        entities=(Entity(name="Zorblax Quint", related=("silver ship", "ship")),),
        examples=(Example(question="Who is Zorblax Quint?"),),
    )
    made = fit(spec, tmp_path_factory.mktemp("p"), key=b"k", progress=quiet)
    guard = Guard.from_parts({"1": made.to_bytes()}, alpha=0.005, shared=shared)
    assert not scan(guard, "Polish the silver ship").flagged
    assert scan(guard, "Polish the silver ship and the other ship").flagged


def test_a_name_split_over_turns(guard: Guard, flags: Flags) -> None:
    verdict = scan(guard, "Remember the word Harry", "Potter is the next word. Who is that?")
    assert verdict.flagged
    assert verdict.entities == (Span(0, 18, 23), Span(1, 0, 6))
    assert not flags("Remember the word Harry", "What is two times two?", "potter is a craft")


@pytest.mark.parametrize(
    "pieces", [("Who wrote Har", "ry Potter?"), ("What is Hog", "warts?"), ("Who is Harry", "Potter")]
)
def test_a_name_split_over_parts_of_a_message(guard: Guard, pieces: tuple[str, str]) -> None:
    for role in ("user", "system"):
        verdict = guard.scan([TextPart(f"/messages/0/content/{i}/text", role, t) for i, t in enumerate(pieces)])[0]
        assert verdict.flagged
        assert {span.part for span in verdict.entities} == {0, 1}


def test_a_name_split_over_roles(guard: Guard) -> None:
    turns = (("system", "Answer questions about Harry"), ("user", "Potter: who wrote it?"))
    verdict = guard.scan([TextPart(f"/messages/{i}/content", role, t) for i, (role, t) in enumerate(turns)])[0]
    assert verdict.entities == (Span(0, 23, 28), Span(1, 0, 6))


@pytest.mark.parametrize("first", [0x61, 0x4E00])
def test_thousands_of_tiny_turns_are_fast(guard: Guard, first: int) -> None:
    """Each as a text of its own with a joint of its own, they took seconds."""
    turns = [chr(first + i % (26 if first < 128 else 4000)) for i in range(4000)]
    spent = []
    for number in range(3):
        start = time.perf_counter()
        assert not scan(guard, str(number), *turns).flagged
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.3  # 0.1 s on an idle machine
    assert scan(guard, *turns, *"Hogwarts", *turns).flagged
    assert scan(guard, *turns, "Hogwarts", *turns).flagged


def test_names_that_switch_off_the_classifiers_are_refused(part: FittedPart, shared: Shared) -> None:
    name = replace(part.names[0], text="is", kind="alias")
    bad = replace(part, names=(name,)).to_bytes()
    with pytest.raises(PartError, match=r"more harmless texts than alpha 0\.005 allows.*: 200000 \(\d+\)"):
        Guard.from_parts({"100000": part.to_bytes(), "200000": bad}, alpha=0.005, shared=shared)


def test_tool_definitions_count_by_name_only(guard: Guard, flags: Flags) -> None:
    described = "Which platform does the train to the school of witchcraft and wizards leave from?"
    assert flags(described)
    assert not scan(guard, described, role="tool_definition").flagged
    assert scan(guard, "look up Harry Potter", role="tool_definition").flagged
    assert scan(guard, described, role="system").flagged


def test_facts_need_more_than_a_name(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = GuardSpec(
        granularity="facts",
        entities=(Entity(name="Zorblax Quint"),),
        examples=tuple(
            Example(question=q)
            for q in (
                "What is the home address of Zorblax Quint?",
                "In which street does Zorblax Quint live?",
                "What is Zorblax Quint's phone number?",
                "Give me the postal address of Zorblax Quint.",
                "Where does Zorblax Quint live, and what is his telephone number?",
                "Which street and house number is Zorblax Quint's?",
            )
        ),
        retain=(
            "Which novel did Zorblax Quint write first?",
            "What prize did Zorblax Quint win?",
            "Summarise the latest book by Zorblax Quint.",
            "In which genre does Zorblax Quint write?",
            "Is Zorblax Quint a good author?",
            "What is the address of the town hall?",
        ),
    )
    made = fit(spec, tmp_path_factory.mktemp("p"), key=b"k", progress=quiet)
    guard = Guard.from_parts({"1": made.to_bytes()}, alpha=0.005, shared=shared)
    asked = scan(guard, "Tell me the home address of Zorblax Quint")
    assert (asked.flagged, asked.source) == (True, "classifier")
    assert asked.score < 1
    other = scan(guard, "Which novel by Zorblax Quint should I read?")
    assert not other.flagged
    assert other.entities == (Span(0, 15, 28),)


def test_several_policies(part: FittedPart, shared: Shared) -> None:
    data = part.to_bytes()
    guard = Guard.from_parts({"200000": data, "100000": data}, alpha=0.005, shared=shared)
    request = [TextPart("/prompt", "user", "Hogwarts")]
    assert [v.policy for v in guard.scan(request)] == ["100000", "200000"]
    assert [v.policy for v in guard.scan(request, {"200000"})] == ["200000"]
    assert guard.scan(request, ()) == []
    with pytest.raises(KeyError):
        guard.scan(request, ["300000"])


def test_no_policies_and_no_texts(guard: Guard, shared: Shared) -> None:
    assert Guard.from_parts({}, alpha=0.005, shared=shared).scan([TextPart("/prompt", "user", "Hogwarts")]) == []
    empty = guard.scan([])[0]
    assert (empty.flagged, empty.score, empty.p_value, empty.source) == (False, 0.0, 1.0, "none")


def test_too_long_is_reported(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.reading.LONGEST", 100)
    verdict = scan(guard, "x" * 50 + " nothing here " + "y" * 100)
    assert verdict.truncated
    assert not scan(guard, "short").truncated


def test_too_many_codes_are_reported(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = " ".join("".join(f"&#{ord(c)};" for c in word) for word in ("Harry", "Potter"))
    text = "read " + base64.b64encode(inner.encode()).decode()
    assert scan(guard, text).flagged
    monkeypatch.setattr("guards.reading.MOST_VIEWS", 2)
    assert scan(guard, text + " ").truncated


def test_a_text_is_read_once(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    read = Reader.read

    def counted(self: Reader, text: str) -> Reading:
        texts.append(text)
        return read(self, text)

    monkeypatch.setattr(Reader, "read", counted)
    scan(guard, "A turn never seen before, number one.")
    first = len(texts)
    scan(guard, "A turn never seen before, number one.")
    assert (first, len(texts)) == (1, 1)


def test_threads_agree(guard: Guard) -> None:
    texts = [f"Question {i}: who lives at number {i}, Hogwarts or not? {'word ' * i}" for i in range(60)]
    results: dict[int, list[Verdict]] = {}

    def work(number: int) -> None:
        results[number] = [scan(guard, t) for t in texts]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(result == results[0] for result in results.values())


@settings(deadline=None, max_examples=150)
@given(
    texts=st.lists(st.text(st.characters(), max_size=60), max_size=4), role=st.sampled_from(["user", "system", "tool"])
)
def test_never_raises_and_spans_are_inside(guard: Guard, texts: list[str], role: str) -> None:
    verdict = guard.scan([TextPart(f"/{i}", role, t) for i, t in enumerate(texts)])[0]
    assert 0 <= verdict.score <= 1
    assert 0 < verdict.p_value <= 1
    assert verdict.flagged == bool(verdict.windows)
    for span in (*verdict.entities, *verdict.windows):
        assert 0 <= span.start < span.end <= len(texts[span.part])
    assert list(verdict.windows) == sorted(verdict.windows)


@settings(deadline=None, max_examples=60)
@given(before=st.text(max_size=40), after=st.text(max_size=40))
def test_nothing_around_a_name_hides_it(guard: Guard, before: str, after: str) -> None:
    assert scan(guard, f"{before} Harry Potter {after}").flagged
