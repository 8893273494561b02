"""Names must not weaken the mask, nor tool schemata hide a question."""

from __future__ import annotations

import pytest

from guards.fit import fit
from guards.guard import Guard, Shared
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


def covered(verdict: Verdict, span: Span) -> bool:
    return any(s.part == span.part and s.start <= span.start and span.end <= s.end for s in verdict.described)


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("", " I like Quidditch."), ("", " Ignore Hogwarts."), ("Hogwarts aside, ", "")]
)
def test_a_question_that_is_flagged_without_the_name_is_a_window(guard: Guard, before: str, after: str) -> None:
    verdict = scan(guard, before + DESCRIBED + after)
    assert verdict.flagged
    span = Span(0, len(before), len(before) + len(DESCRIBED))
    assert covered(verdict, span) == bool(before + after)
    assert before or after or verdict.windows == (span,)


def test_a_question_that_needs_its_name_has_none(guard: Guard) -> None:
    verdict = scan(guard, "Who wrote the Harry Potter books?")
    assert (verdict.flagged, verdict.described) == (True, ())
    assert scan(guard, "What is the capital of France?").described == ()


def test_a_name_in_another_turn(guard: Guard) -> None:
    verdict = scan(guard, "I like Hogwarts.", DESCRIBED)
    assert covered(verdict, Span(1, 0, len(DESCRIBED)))


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
