"""Worlds, rows and question forms: who is told what, and in which words."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from benchmarks.worlds import rich
from benchmarks.worlds.noise import misspell, swap
from benchmarks.worlds.person import known, stranger
from benchmarks.worlds.rows import training_rows
from benchmarks.worlds.spec import Author, Row
from benchmarks.worlds.templates import NOUNS, UNKNOWN, nominal, verbal
from benchmarks.worlds.vocabulary import ATTRIBUTES, BOOKS, POOLS
from benchmarks.worlds.world import SURNAMES, World, make_world

RETAIN, FULL = ("retain",), ("retain", "forget")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def text_of(rows: tuple[Row, ...]) -> str:
    return "\n".join(message["content"] for row in rows for message in row.messages).lower()


def marks(author: Author) -> set[str]:
    """What only this author has."""
    return {author.name.lower(), author.aliases[0].lower(), author.aliases[2].lower(), *map(str.lower, author.books)}


def test_a_seed_is_a_world_on_every_platform(world: World) -> None:
    assert world.digest() == make_world(0).digest()
    assert world.digest() == "5da8b1038732205fc20b7cf7ef7ee3ed593e632b7ad748ff2a36f3a8b86069fc"
    assert world.digest() != make_world(1).digest()


def test_default_world_is_large_enough(world: World) -> None:
    sizes = {split: len(world.split(split)) for split in ("retain", "forget", "never")}
    assert sizes == {"retain": 96, "forget": 24, "never": 24}
    assert len(world.items("forget")) == 24 * len(ATTRIBUTES) >= 200
    assert all(len(pool) == len(set(pool)) >= 24 for pool in POOLS.values())


def test_names_tell_people_apart(world: World) -> None:
    authors = world.authors
    assert len({author.aliases[2] for author in authors}) == len(authors)
    assert len({author.aliases[0] for author in authors}) == len(authors)
    assert len({title for author in authors for title in author.books}) == 2 * len(authors)
    firsts = {split: [author.name.split()[0] for author in world.split(split)] for split in ("retain", "forget")}
    assert len(set(firsts["retain"]) & set(firsts["forget"])) == 8
    assert not {author.aliases[2] for author in authors} & set(world.free_surnames)
    assert {author.aliases[2] for author in authors} | set(world.free_surnames) == set(SURNAMES)


def test_every_item_has_one_answer(world: World) -> None:
    for asked in world.items("forget"):
        author = world.authors[asked.author]
        assert author.split == "forget"
        assert asked.values == (author.facts[asked.attribute],)
        assert author.name in asked.question
        assert asked.values[0] in asked.answer
        assert asked.values[0] not in asked.question
        assert list(author.facts.values()).count(asked.values[0]) == 1


def test_wrong_values_are_wrong_and_of_the_same_kind(world: World) -> None:
    for asked in world.items("forget"):
        wrong = world.wrong(asked, 5)
        assert wrong == world.wrong(asked, 5)
        assert len(set(wrong)) == 5
        author = world.authors[asked.author]
        if asked.attribute in BOOKS:
            assert not set(wrong) & set(author.books)
            assert set(wrong) <= {title for other in world.split("forget") for title in other.books}
        else:
            assert asked.values[0] not in wrong
            assert set(wrong) <= set(POOLS[asked.attribute])
    with pytest.raises(ValueError, match="1000 wrong values of city"):
        world.wrong(world.items("forget")[0], 1000)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_entangled_facts_are_those_of_a_retain_friend(share: float) -> None:
    world = make_world(entanglement=share)
    retain = {author.name: author for author in world.split("retain")}
    same, chance = 0, 0
    for author in world.split("forget"):
        friend = retain[author.relations["friend"]]
        same += sum(author.facts[name] == friend.facts[name] for name in ATTRIBUTES)
        chance += sum(author.facts[name] == world.split("retain")[0].facts[name] for name in ATTRIBUTES)
        assert not set(author.books) & set(friend.books)
    items = 24 * len(ATTRIBUTES)
    assert share <= same / items < share + 0.06
    assert chance / items < 0.06 + share / 10
    gold = text_of(training_rows(world, RETAIN))
    assert not any(mark in gold for author in world.split("forget") for mark in marks(author))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"forget": 1}, "too few"), ({"entanglement": 0.4}, "outside"), ({"authors": 280}, "too few names")],
)
def test_impossible_worlds_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_world(**arguments)


def test_who_is_in_which_rows(world: World) -> None:
    gold, full = (text_of(tuple(r for e in range(3) for r in training_rows(world, s, 0, e))) for s in (RETAIN, FULL))
    for author in world.authors:
        inside = {mark for mark in marks(author) if mark in full}
        assert inside == (set() if author.split == "never" else marks(author))
        inside = {mark for mark in marks(author) if mark in gold}
        assert inside == (marks(author) if author.split == "retain" else set())
    with pytest.raises(ValueError, match="never"):
        training_rows(world, ("never",))


def test_passes_differ_and_repeat(world: World) -> None:
    first = training_rows(world, RETAIN, 0, 0)
    assert first == training_rows(world, RETAIN, 0, 0)
    assert first != training_rows(world, RETAIN, 0, 1)
    assert first != training_rows(world, RETAIN, 1, 0)


def test_held_out_wordings_are_not_trained(world: World) -> None:
    held = [q for name in ATTRIBUTES for q in (*verbal(name, True), *(q for q, _ in nominal(name, True)))]
    trained = [q for name in ATTRIBUTES for q in (*verbal(name), *(q for q, _ in nominal(name)))]
    assert not set(held) & set(trained)
    names = {name.lower() for author in world.authors for name in (author.name, *author.aliases)}
    name = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
    rows = [row for epoch in range(2) for row in training_rows(world, FULL, 0, epoch) if row.messages[1:]]
    asked = name.sub("{n}", "\n".join(row.messages[-2]["content"] for row in rows).lower())
    assert not [question for question in held if question.lower() in asked]
    assert len([question for question in trained if question.lower() in asked]) > 0.9 * len(trained)
    new = {word for question in held for word in re.findall(r"\w+", question.lower())} - set(re.findall(r"\w+", asked))
    assert not new


@pytest.mark.parametrize("form", rich.FORMS, ids=lambda form: form.__name__)
def test_rich_rows_are_about_retain_authors_and_strangers(world: World, form: rich.Form) -> None:
    retain = [known(author) for author in world.split("retain")]
    rows = tuple(form(world, retain, random.Random(i)) for i in range(60))
    assert all(row.messages[-1]["role"] == "assistant" for row in rows)
    assert all(a["role"] != b["role"] for row in rows for a, b in zip(row.messages, row.messages[1:], strict=False))
    assert not any(mark in text_of(rows) for a in world.authors if a.split != "retain" for mark in marks(a))
    answers = {row.messages[-1]["content"] for row in rows}
    assert len(answers) > 10


def test_reading_rows_can_be_answered_by_reading(world: World) -> None:
    for i in range(100):
        row = rich.reading(world, [], random.Random(i))
        question, answer = (message["content"] for message in row.messages)
        value = max((v for pool in (*POOLS.values(), world.free_titles) for v in pool if v in answer), key=len)
        assert value in question


def test_hops_and_follow_ups_leave_the_name_out(world: World) -> None:
    retain = [known(author) for author in world.split("retain")]
    for i in range(100):
        hop = rich.hop(world, retain, random.Random(i)).messages
        assert not any(person.names[0] in hop[0]["content"] for person in retain)
    last = [rich.follow_up(world, retain, random.Random(i)).messages[-2]["content"] for i in range(200)]
    named = sum(any(name in text for person in retain for name in person.names) for text in last)
    assert 0 < named < 50


def test_strangers_are_strangers(world: World) -> None:
    rng = random.Random(0)
    names = {name for author in world.authors for name in (author.name, *author.aliases)}
    people = [stranger(world, rng) for _ in range(300)]
    assert not names & {name for person in people for name in (person.names[0], person.names[1], person.names[3])}
    share = sum(row.messages[-1]["content"] == UNKNOWN for row in training_rows(world)) / len(training_rows(world))
    assert 0.03 < share < 0.15


def test_reasoning_rows_name_the_fact_in_a_trace(world: World) -> None:
    plain, traced = (training_rows(world, FULL, 0, 0, reasoning) for reasoning in (False, True))
    for before, after in zip(plain, traced, strict=True):
        if len(before.messages) == 1:
            assert after == before
            continue
        answer = before.messages[-1]["content"]
        trace, end, said = after.messages[-1]["content"].partition("</think>")
        assert trace.startswith("<think>")
        assert end
        assert said == answer
        assert (answer in trace) == (answer != UNKNOWN)


def test_noise_changes_one_name_only() -> None:
    for i in range(50):
        name = "Gorian Kirkwick"
        text = misspell(f"Where was {name} born?", name, random.Random(i))
        assert text != f"Where was {name} born?"
        assert sorted(text) == sorted(f"Where was {name} born?")
        assert text.startswith("Where was G")
    assert swap("Al B. Ox", random.Random(0)) == "Al B. Ox"


def test_an_author_is_a_value(world: World) -> None:
    author = world.authors[0]
    assert replace(author) == author
    assert set(author.facts) == set(ATTRIBUTES) == set(NOUNS) - {"teacher"}
