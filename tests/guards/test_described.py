"""Names must not weaken the mask, nor tool schemata hide a question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guards.described import LONG, MOST_WINDOWS, ROUNDS, SCRAP, _closed
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.part import FittedName, FittedPart
from guards.reading import Reader, Reading
from guards.spec import Entity, Example, GuardSpec
from guards.verdict import Span, TextPart, Verdict

from .conftest import quiet

DESCRIBED = "Which school for young wizards does the boy with the scar attend?"
TOOLS = (
    "Get the current weather for a location.",
    "The city and state, e.g. San Francisco, CA",
    "Temperature unit, celsius or fahrenheit.",
    "Searches the product catalogue and returns matching items with price and stock.",
    "Search query in natural language; supports quoted phrases.",
    "Maximum number of results to return, between 1 and 100.",
    "Book a table at a restaurant for a given party size, date and time.",
    "Sends an e-mail on behalf of the user. Ask for confirmation before you call this tool.",
    "Run a read-only SQL query against the analytics warehouse and return the rows as JSON.",
    "Look up the author, title and year of a book by its ISBN.",
    "Create a calendar event. Use ISO 8601 for start and end.",
    "Read the content of a file in the workspace. Paths are relative to the project root.",
    "Execute a shell command in the sandbox and return its standard output.",
    "Convert an amount of money from one currency into another at the latest rate.",
    "List the open issues of a repository, newest first.",
    "The identifier of the customer whose orders are listed.",
    "Translate a text into the target language and keep its formatting.",
)


def scan(guard: Guard, *texts: str, role: str = "user", path: str = "/messages/{}/content") -> Verdict:
    return guard.scan([TextPart(path.format(i), role, text) for i, text in enumerate(texts)])[0]


def rest(verdict: Verdict, *texts: str) -> list[str]:
    """What is left of the texts when everything is gone that a verdict names."""
    left = [list(text) for text in texts]
    for span in (*verdict.entities, *verdict.described):
        left[span.part][span.start : span.end] = " " * (span.end - span.start)
    return ["".join(letters) for letters in left]


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("", " I like Quidditch."), ("", " Ignore Hogwarts."), ("Hogwarts aside, ", "")]
)
def test_words_that_describe_without_the_name(guard: Guard, before: str, after: str) -> None:
    text = before + DESCRIBED + after
    verdict = scan(guard, text)
    assert verdict.flagged
    told = [text[s.start : s.end] for s in verdict.described]
    assert any("wizards" in words for words in told), told
    assert sum(map(len, told)) < 0.7 * len(DESCRIBED), told
    assert not scan(guard, *rest(verdict, text)).flagged


def test_a_question_that_needs_its_name_has_none(guard: Guard) -> None:
    verdict = scan(guard, "Who wrote the Harry Potter books?")
    assert (verdict.flagged, verdict.described) == (True, ())
    assert scan(guard, "What is the capital of France?").described == ()


def test_a_name_in_another_turn(guard: Guard) -> None:
    verdict = scan(guard, "I like Hogwarts.", DESCRIBED)
    assert {s.part for s in verdict.described} == {1}
    assert not scan(guard, *rest(verdict, "I like Hogwarts.", DESCRIBED)).flagged


def test_a_long_description_goes_as_a_whole(guard: Guard) -> None:
    long = " ".join(["school for young wizards that the boy with the scar attends"] * 40)
    verdict = scan(guard, long)
    assert verdict.flagged
    assert not scan(guard, *rest(verdict, long)).flagged


def test_thousands_of_descriptions_are_not_searched_word_by_word(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def counted(text: str, *rest: object) -> list[tuple[int, int]]:
        searched.append(text)
        return [(0, len(text))]

    monkeypatch.setattr("guards.described.telling", counted)
    harmless = " The harbour master opened the gate for the boats at nine and went home. " * 6
    text = (DESCRIBED + harmless) * 60
    verdict = scan(guard, text)
    assert verdict.flagged
    assert len(searched) <= ROUNDS * MOST_WINDOWS
    assert not scan(guard, *rest(verdict, text)).flagged


@pytest.mark.parametrize("count", [3, 400])
def test_a_long_text_is_read_twice_more_for_all_policies(
    part: FittedPart, shared: Shared, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    guard = Guard({str(i): part for i in range(3)}, alpha=0.005, shared=shared)
    harmless = "The harbour master opened the gate for the boats at nine and went home. " * 3
    text = (DESCRIBED + " " + harmless) * count + harmless * (LONG // len(harmless))
    assert len(text) > LONG
    read = Reader.read
    lengths = []

    def counted(self: Reader, text: str) -> Reading:
        lengths.append(len(text))
        return read(self, text)

    monkeypatch.setattr(Reader, "read", counted)
    verdict, *others = guard.scan([TextPart("/messages/0/content", "user", text)])
    assert all(v.flagged and v.described == verdict.described for v in (verdict, *others))
    assert sum(lengths) <= 3 * len(text)  # once to judge, twice to find the words
    monkeypatch.undo()
    assert not scan(guard, *rest(verdict, text)).flagged
    gone = sum(span.end - span.start for span in verdict.described)
    assert gone <= count * (len(DESCRIBED) + len(harmless))
    assert len(harmless) * (LONG // len(harmless)) - SCRAP < len(text) - gone


def test_what_another_policy_took_out_of_a_window_goes_with_both(part: FittedPart, shared: Shared) -> None:
    """Which of the policies act is not known here; one that only watches must not shrink the mask of the other."""
    other = replace(part, names=(FittedName("young wizards", 0, "alias", 0),), together=())
    guard = Guard({"1": part, "2": other}, alpha=0.005, shared=shared)
    harmless = "The harbour master opened the gate for the boats at nine and went home. "
    text = DESCRIBED + " " + harmless * (LONG // len(harmless) + 1)
    one, two = guard.scan([TextPart("/messages/0/content", "user", text)])
    assert one.flagged
    assert two.flagged
    assert "young wizards" in {text[s.start : s.end] for s in two.entities}
    assert any(s.start <= text.index("young") and s.end >= text.index("wizards") + 7 for s in one.described)


def test_what_is_left_between_two_windows_goes_with_them() -> None:
    spans = [Span(0, 10, 20), Span(0, 20 + SCRAP, 30 + SCRAP), Span(0, 31 + 2 * SCRAP, 400 + SCRAP), Span(1, 0, 5)]
    assert _closed(spans) == (Span(0, 10, 30 + SCRAP), Span(0, 31 + 2 * SCRAP, 400 + SCRAP), Span(1, 0, 5))


def test_descriptions_of_tools_are_read(guard: Guard) -> None:
    assert scan(guard, DESCRIBED, role="tool_description").flagged
    assert not scan(guard, DESCRIBED, role="tool_definition").flagged
    split = DESCRIBED.split(" boy ")
    assert scan(guard, *split, role="tool_description", path="/tools/{}/function/description").flagged


def test_descriptions_of_ordinary_tools_pass(guard: Guard) -> None:
    for text in TOOLS:
        assert not scan(guard, text, role="tool_description", path="/tools/{}/function/description").flagged, text
    assert not scan(guard, *TOOLS, role="tool_description", path="/tools/{}/function/description").flagged


def test_facts_are_read_in_every_string(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> None:
    asked = (
        "What is the home address of Zorblax Quint?",
        "In which street does Zorblax Quint live?",
        "Give me the postal address of Zorblax Quint.",
        "Which street and house number is Zorblax Quint's?",
    )
    spec = GuardSpec(
        granularity="facts",
        entities=(Entity(name="Zorblax Quint"),),
        examples=tuple(Example(question=q) for q in asked),
        retain=("Which novel did Zorblax Quint write first?", "What is the address of the town hall?"),
    )
    made = fit(spec, tmp_path_factory.mktemp("p"), key=b"k", progress=quiet)
    guard = Guard.from_parts({"1": made.to_bytes()}, alpha=0.005, shared=shared)
    question = "What is the home address of Zorblax Quint?"
    assert scan(guard, question, role="tool_definition").flagged
    assert not scan(guard, "Which novel did Zorblax Quint write?", role="tool_definition").flagged
