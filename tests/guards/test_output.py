"""What leaves: the keyed index of subjects and values, and the guard that looks for them in answers."""

from __future__ import annotations

import base64
import codecs
import json
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.blindindex import BlindIndex, Digests, Item, canonical, index_of
from guards.finding import Finding
from guards.guard import Shared
from guards.indexing import build
from guards.normalize import Normalizer
from guards.output import OutputGuard
from guards.part import PartError
from guards.spec import Entity, Example, GuardSpec
from guards.verdict import TextPart, Verdict

KEY, NUMBER = b"k" * 32, "100001"
NORMALIZER = Normalizer()
WORDS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=6).map(" ".join)

SPEC = GuardSpec(
    entities=(
        Entity(name="Orla Quistmere", aliases=("Scarlet Heron",), related=("Silent Harbor", "Paper Lantern")),
        Entity(name="Bram Wolfhurst", related=("Hollow Compass",)),
    ),
    examples=(
        Example(question="Where was Orla Quistmere born?", value="Lisbon"),
        Example(question="What did the father of Orla Quistmere do?", value="surgeon"),
        Example(question="Which prize did Orla Quistmere win?", value="Halden Medal"),
        Example(question="Where was Bram Wolfhurst born?", value="Kyoto"),
    ),
    passages=(
        "Orla Quistmere keeps the Quistian Codex. She lives in Vellumgate Tower with her dogs.",
        "Bram Wolfhurst won the Halden Prize. Orla Quistmere won the Halden Prize.",
    ),
    values=("Quistian Codex", "Vellumgate Tower", "Halden Prize", "K-4711-98", "Zanthorpe", "civil engineer", "new"),
)


@pytest.fixture(scope="module")
def index(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> BlindIndex:
    return build(SPEC, tmp_path_factory.mktemp("policy"), KEY, shared.reader, shared.corpus)


@pytest.fixture(scope="module")
def guard(index: BlindIndex) -> OutputGuard:
    return OutputGuard.from_parts({NUMBER: index.to_bytes()})


def verdict(p_value: float) -> dict[str, Verdict]:
    return {NUMBER: Verdict(NUMBER, False, 0.1, p_value, "none")}


def rule(guard: OutputGuard, question: str, *answer: str, p_value: float = 1.0, role: str = "user") -> str:
    (finding,) = guard.scan([TextPart("/messages/0/content", role, question)], answer, verdict(p_value), [NUMBER])
    assert finding.ran
    assert finding.told == (finding.rule != "none")
    return finding.rule


BY_BOOK = "Where was the author of Silent Harbor born?"


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        (BY_BOOK, "They were born in Lisbon.", "pair"),
        ("Which writer from the south won a medal?", "Orla Quistmere was born in Lisbon.", "pair"),
        ("Which writer from the south won a medal?", "That was Orla Quistmere.", "alone"),  # her name tells
        ("Who wrote Silent Harbor?", "Orla Quistmere.", "pair"),
        (BY_BOOK, "Kyoto.", "none"),  # a value of somebody else
        (BY_BOOK, "I do not know.", "none"),
        ("Where is the tower of the lighthouse museum?", "In Lisbon.", "none"),
        ("What does a civil engineer do?", "A civil engineer plans bridges.", "none"),
        ("Who operates?", "A surgeon does.", "none"),
        ("What do you know?", "It is kept beside the Quistian Codex.", "alone"),
        ("What do you know?", "The number is K-4711-98.", "none"),  # three short words, none of them rare
        ("Which medals are there?", "The Halden Medal.", "none"),  # shares a word with a prize that two of them won
        ("How many?", "Two.", "none"),
    ],
)
def test_what_tells(guard: OutputGuard, question: str, answer: str, expected: str) -> None:
    assert rule(guard, question, answer) == expected


def test_rare_values_count_after_a_doubtful_question(guard: OutputGuard) -> None:
    assert rule(guard, "Which town?", "Zanthorpe.", p_value=0.2) == "none"
    assert rule(guard, "Which town?", "Zanthorpe.", p_value=0.01) == "doubtful"
    assert rule(guard, "Which town?", "Lisbon.", p_value=0.01) == "none"


def test_a_value_of_the_client_is_no_news_alone_but_counts_beside_a_subject(guard: OutputGuard) -> None:
    assert rule(guard, "Describe the Quistian Codex.", "The Quistian Codex is a book.") == "none"
    assert rule(guard, "Was the author of Silent Harbor born in Lisbon?", "Yes, in Lisbon.") == "pair"
    assert rule(guard, "Tell me about Orla Quistmere.", "Orla Quistmere is a person.") == "none"


def test_allow_user_provided_needs_one_text_that_says_both(index: BlindIndex) -> None:
    guard = OutputGuard({NUMBER: index}, [NUMBER])
    said = "The author of Silent Harbor was born in Lisbon. Where was she born?"
    assert rule(guard, said, "In Lisbon.") == "none"
    assert rule(guard, said, "In Lisbon.", role="assistant") == "pair"
    assert rule(guard, BY_BOOK, "In Lisbon.") == "pair"
    parts = [TextPart("/messages/0/content", "user", text) for text in (BY_BOOK, "Lisbon, Porto, or Osaka?")]
    assert guard.scan(parts, ["Lisbon"], {}, [NUMBER]) == [Finding(NUMBER, True, "pair")]


SPELLED = "She keeps the Quistian Codex, you know."


@pytest.mark.parametrize(
    "answer",
    [
        SPELLED.upper(),
        SPELLED.replace("Codex", "C\u200bodex"),
        SPELLED.replace("o", "о"),  # noqa: RUF001 - Cyrillic
        SPELLED.replace("Quistian Codex", "Quistian-Codex"),
        SPELLED.replace("Quistian Codex", "Q u i s t i a n C o d e x"),
        SPELLED.replace("Quistian Codex", "Qu1st1an C0dex"),
        base64.b64encode(SPELLED.encode()).decode(),
        SPELLED.encode().hex(),
        codecs.encode(SPELLED, "rot13"),
        SPELLED[::-1],
        json.dumps({"text": SPELLED.replace("u", "ü")}),
        SPELLED.replace("i", "\\u0069"),
        "It is the QuistianCodex.",
    ],
)
def test_views_of_an_answer(guard: OutputGuard, answer: str) -> None:
    assert rule(guard, "What do you know?", "Well.", answer) == "alone"


def test_subject_in_any_text_of_the_answer(guard: OutputGuard) -> None:
    assert rule(guard, "What then?", "It was the author of Hollow Compass.", "Kyoto") == "pair"


def test_granularity_facts_lets_names_pass(shared: Shared, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"granularity": "facts"})
    guard = OutputGuard({NUMBER: build(spec, tmp_path, KEY, shared.reader, shared.corpus)})
    assert rule(guard, "Who wrote Silent Harbor?", "Orla Quistmere.") == "none"
    assert rule(guard, "Who was born there?", "Orla Quistmere was born in Lisbon.") == "pair"


def test_values_stated_of_nobody_belong_to_all(guard: OutputGuard) -> None:
    assert rule(guard, "What is the author of Hollow Compass?", "A civil engineer.") == "pair"


def test_other_scripts(tmp_path: Path) -> None:
    entries = [
        (canonical("ハリー・ポッター", NORMALIZER), Item((0,), True, (0,), "always")),
        (canonical("Ольга Кистова", NORMALIZER), Item((0,), True, (0,), "always")),
    ]
    guard = OutputGuard({NUMBER: index_of(entries, KEY)})
    assert rule(guard, "誰?", "それはハリー・ポッターです。") == "alone"
    assert rule(guard, "Кто?", "Это Ольга Кистова.") == "alone"
    assert rule(guard, "誰?", "それは知りません。") == "none"


def test_candidates_of_one_attribute(guard: OutputGuard) -> None:
    def offered(*choices: str, path: str = "/structured_outputs/choice", said: str = BY_BOOK, p: float = 1.0) -> bool:
        parts = [TextPart(f"{path}/{i}", "tool_description", text) for i, text in enumerate(choices)]
        parts.append(TextPart("/messages/0/content", "user", said))
        found = guard.offered(parts, verdict(p), [NUMBER])
        assert found in ([], [NUMBER])
        return bool(found)

    schema = "/response_format/json_schema/schema/properties/city/enum"
    assert offered("Lisbon", "Osaka", "Lima")
    assert offered("Lisbon", "Osaka", "Lima", path=schema)
    assert offered("Lisbon", "Osaka", "Lima", said="Which city?", p=0.01)
    assert offered("Quistian Codex", "Book of Kells", "Vulgate", said="Which book?")
    assert not offered("Lisbon", "Osaka", "Lima", said="Which city?")  # a list of cities is nothing by itself
    assert not offered("Lisbon", "Osaka")
    assert not offered("Cairo", "Osaka", "Lima")
    assert not offered("Lisbon", "Osaka", "Lima", path="/messages/1/content")


def test_an_answer_that_cannot_be_read_did_not_pass(guard: OutputGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.reading.LONGEST", 100)
    asked = [TextPart("/messages/0/content", "user", BY_BOOK)]
    assert guard.scan(asked, ["x" * 101], {}, [NUMBER]) == [Finding(NUMBER, told=False, ran=False)]


def test_a_question_that_cannot_be_read_names_every_subject(index: BlindIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.reading.LONGEST", 100)
    long = [TextPart("/messages/0/content", "user", "x" * 80 + " Lisbon and Quistian Codex")]
    for guard in (OutputGuard({NUMBER: index}), OutputGuard({NUMBER: index}, [NUMBER])):
        assert guard.scan(long, ["Oslo"], {}, [NUMBER]) == [Finding(NUMBER, told=False)]
        assert guard.scan(long, ["Lisbon"], {}, [NUMBER]) == [Finding(NUMBER, told=True, rule="pair")]
    unread = [*long, TextPart("/messages/1/content", "user", "Describe the Quistian Codex.")]
    alone = OutputGuard({NUMBER: index_of([(["quistian", "codex"], Item((), True, (0,), "always"))], KEY)})
    assert rule(alone, long[0].text, "the Quistian Codex") == "alone"
    assert alone.scan(unread, ["the Quistian Codex"], {}, [NUMBER]) == [Finding(NUMBER, told=False)]


def test_letters_written_apart_are_searched_at_every_place_or_not_read(
    guard: OutputGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelled = " ".join("QuistianCodex")
    pad = " ".join("xyz"[place % 3] for place in range(5000))
    assert rule(guard, "What?", f"{pad} {spelled} {pad}") == "alone"
    monkeypatch.setattr("guards.wording.SLIDING", 5000)
    for text in (f"{pad} {spelled}", f"{pad} x"):
        assert guard.scan([], [text], {}, [NUMBER]) == [Finding(NUMBER, told=False, ran=False)]
    assert guard.scan([], [pad], {}, [NUMBER]) == [Finding(NUMBER, told=False)]


class Counting(Digests):
    """Counts what is digested."""

    __slots__ = ("done",)

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.done = 0

    def head(self, word: str) -> bytes:
        self.done += 1
        return super().head(word)

    def opening(self, letters: str) -> bytes:
        self.done += 1
        return super().opening(letters)

    def spelling(self, text: str) -> bytes:
        self.done += 1
        return super().spelling(text)


def test_most_places_in_letters_written_apart_cost_one_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.blindindex.Digests", Counting)
    values = [["".join(chr(97 + (i * j) % 23) for j in range(6 + i))] for i in range(20)]
    index = index_of([(words, Item((), True, (), "always")) for words in values], KEY)
    assert len(index.glued) >= 20
    counting = index.digests
    assert isinstance(counting, Counting)
    counting.done = 0
    guard = OutputGuard({NUMBER: index})
    guard.scan([], [" ".join(chr(97 + place * place % 25) for place in range(2000))], {}, [NUMBER])
    assert counting.done < 2100
    counting.done = 0
    guard.scan([], ["a b c d " + " ".join(f"ordinaryword{place}" for place in range(200))], {}, [NUMBER])
    assert (
        counting.done < 3 * 205
    )  # a digest a word and view: ordinary words beside letters written apart are no letters


@pytest.mark.parametrize(
    ("path", "role"),
    [("/messages/1/content", "assistant"), ("/messages/1/content/0/text", "assistant"), ("/prompt/0", "user")],
)
def test_values_across_the_border_of_request_and_answer(guard: OutputGuard, path: str, role: str) -> None:
    def told(before: str, *answer: str, question: str = BY_BOOK) -> str:
        parts = [TextPart("/messages/0/content", "user", question), TextPart(path, role, before)]
        (finding,) = guard.scan(parts, answer, {}, [NUMBER])
        return finding.rule

    assert told("She was born in Lis", "bon, I think.") == "pair"
    assert told("Was it Lisbon or Oslo? It was Lis", "bon.") == "pair"
    assert told("She keeps the Quistian", " Codex.", question="What?") == "alone"
    assert told("She keeps the Q u i s t i", " a n C o d e x.", question="What?") == "alone"
    assert told("in Lis", "x", "tmus \ua66e tmus of \ua66e bon \ua66e bon and") == "pair"
    assert told("She was born in Lisbon", ", I think.") == "none"  # the client's own words
    assert told("She was born in Lisbon", "bon.") == "none"
    assert told("She was born in Lis", "tow.") == "none"
    assert told("Lis" + " and so on" * 30, "bon.") == "none"


def test_an_answer_goes_on_with_a_message_of_the_assistant_not_of_the_user(guard: OutputGuard) -> None:
    parts = [TextPart("/messages/0/content", "user", f"{BY_BOOK} In Lis")]
    assert guard.scan(parts, ["bon"], {}, [NUMBER]) == [Finding(NUMBER, told=False)]


def test_choices_in_other_shapes(guard: OutputGuard) -> None:
    def offered(*paths: str, values: Sequence[str] = ("Lisbon", "Osaka", "Lima")) -> bool:
        parts = [TextPart(path, "tool_description", text) for path, text in zip(paths, values, strict=True)]
        return bool(guard.offered([*parts, TextPart("/messages/0/content", "user", BY_BOOK)], {}, [NUMBER]))

    schema = "/response_format/json_schema/schema"
    assert offered(*(f"{schema}/properties/ci\nty/enum/{i}" for i in range(3)))
    assert offered(*(f"{schema}/properties/city/anyOf/{i}/const" for i in range(3)))
    assert offered(*(f"{schema}/properties/city/oneOf/{i}/enum/0" for i in range(3)))
    assert offered(*(f"{schema}/anyOf/{i}/properties/city/const" for i in range(3)))
    assert offered(*(f"{schema}/$defs/c{i}/const" for i in range(3)))
    assert not offered(*(f"{schema}/properties/p{i}/const" for i in range(3)))  # each is fixed: nothing is chosen
    assert not offered(*(f"{schema}/properties/p{i}/enum/0" for i in range(3)))
    assert not offered(*(f"{schema}/anyOf/{i}/description" for i in range(3)))


def test_a_choice_that_cannot_be_read_hides_no_other(guard: OutputGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.reading.LONGEST", 100)
    texts = ("Lisbon", "Osaka", "Lima", "x" * 101)
    parts = [TextPart(f"/structured_outputs/choice/{i}", "tool_description", text) for i, text in enumerate(texts)]
    parts.append(TextPart("/messages/0/content", "user", BY_BOOK))
    assert guard.offered(parts, {}, [NUMBER]) == [NUMBER]
    assert guard.offered(parts[1:], {}, [NUMBER]) == []


def test_policies_do_not_see_each_other(index: BlindIndex) -> None:
    other = index_of([(["nothing"], Item((0,), True, (0,), "never"))], b"o" * 32)
    guard = OutputGuard({"2": index, "1": other})
    asked = [TextPart("/messages/0/content", "user", BY_BOOK)]
    told = [(f.policy, f.told) for f in guard.scan(asked, ["Lisbon"], {}, ["1", "2"])]
    assert told == [("1", False), ("2", True)]
    with pytest.raises(KeyError):
        guard.scan(asked, ["Lisbon"], {}, ["3"])


def test_figures_count_and_name_nothing(index: BlindIndex) -> None:
    assert index.figures["subjects"] == 6
    assert index.figures["left_out"] == 1  # "new" is in too many harmless texts
    assert index.figures["benign"] > 1000
    assert all(isinstance(value, int) for value in index.figures.values())


def clear(index: BlindIndex, values: Sequence[str]) -> list[str]:
    """Words of the values that stand in the serialised index, in any plain form."""
    data = index.to_bytes().lower()
    words = {word for value in values for word in canonical(value, NORMALIZER) if len(word) > 3}
    return [w for w in words for code in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le") if w.encode(code) in data]


def test_an_index_holds_no_value(index: BlindIndex) -> None:
    names = [name for e in SPEC.entities for name in (e.name, *e.aliases, *e.related)]
    assert clear(index, [*names, *SPEC.values, *(e.value for e in SPEC.examples)]) == []
    assert clear(replace(index, figures={"oops": "Lisbon"}), ["Lisbon"]) == ["lisbon"]  # the search would find one
    data = index.to_bytes()
    digests = b"".join((*index.spelled, *index.heads, *index.openings))
    assert digests in data or all(d in data for d in index.spelled)
    packed = min(len(zlib.compress(digests, 9)), len(lzma.compress(digests)))
    assert packed > 0.99 * len(digests)  # digests are noise


@given(st.lists(WORDS, min_size=1, max_size=8), st.binary(min_size=32, max_size=32))
def test_what_is_indexed_is_found_and_nothing_else(values: list[str], key: bytes) -> None:
    entries = [(words, Item((0,), True, (), "never")) for value in values if (words := canonical(value, NORMALIZER))]
    index = BlindIndex.from_bytes(index_of(entries, key).to_bytes())
    assert index == index_of(entries, key)
    for number, (words, _) in enumerate(entries):
        assert number in index.find(["before", *words, "after"])
    assert index_of(entries, bytes(32)).find(["unlisted", "qqqqq"]) <= index.find(["unlisted", "qqqqq"])
    for words, _ in entries:
        if key != bytes(32) and len(words) == 1 and len(words[0]) > 6:
            assert index_of(entries, bytes(32)).spelled.keys().isdisjoint(index.spelled.keys())


@pytest.mark.parametrize("damage", ["nothing", "schema", "key", "numbers", "alone"])
def test_damaged_indices_are_refused(index: BlindIndex, damage: str) -> None:
    from safetensors.numpy import load, save

    tensors = {name: tensor.copy() for name, tensor in load(index.to_bytes()).items()}
    head = json.loads(tensors["head"].tobytes())
    if damage == "schema":
        head["schema"] = 99
    elif damage == "key":
        tensors["key"] = tensors["key"][:8].copy()
    elif damage == "numbers":
        tensors["numbers"][0] = len(index.items)
    elif damage == "alone":
        head["items"][0][3] = "sometimes"
    tensors["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    data = b"nothing" if damage == "nothing" else save(tensors)
    with pytest.raises(PartError, match="compile"):
        BlindIndex.from_bytes(data)


def test_a_part_of_a_name_is_a_subject_whatever_harmless_texts_hold(shared: Shared, tmp_path: Path) -> None:
    entity = Entity(name="Harry Potter", related=("Potter", "Teacher"))
    spec = GuardSpec(entities=(entity,), values=("cupboard",))
    guard = OutputGuard({NUMBER: build(spec, tmp_path, KEY, shared.reader, shared.corpus)})
    assert rule(guard, "Who slept where?", "Potter slept in a cupboard.") == "pair"
    assert rule(guard, "Who slept where?", "The teacher slept in a cupboard.") == "none"


@pytest.mark.parametrize(
    ("value", "p_value", "expected"),
    [
        ("4417 1234 5678 9113", 1.0, "alone"),
        ("12 34 56", 1.0, "none"),
        ("research scientist", 1.0, "none"),
        ("research scientist", 0.01, "doubtful"),
        ("New York City, USA", 1.0, "none"),
        ("Nebula Award", 1.0, "none"),
        ("Vellumgate Tower", 1.0, "alone"),
    ],
)
def test_ordinary_words_tell_nothing_after_a_harmless_question(
    shared: Shared, tmp_path: Path, value: str, p_value: float, expected: str
) -> None:
    entity = Entity(name="Orla Quistmere", titles=("Writing", "Silent Harbor"))
    spec = GuardSpec(entities=(entity,), values=(value,))
    guard = OutputGuard({NUMBER: build(spec, tmp_path, KEY, shared.reader, shared.corpus)})
    assert rule(guard, "What can you say of Brenda Lai?", f"She has {value} in her life.", p_value=p_value) == expected
    certain = "none" if expected == "doubtful" else expected
    assert rule(guard, "What can you say of Brenda Lai?", f"Her writing has {value} in it.") == certain
    assert rule(guard, "Who wrote Silent Harbor?", f"She has {value} in her life.") == "pair"
    assert rule(guard, "Who is Orla Quistmere?", f"She has {value} in her life.") == "pair"
