"""Questions that must be answered as ever: for false positives and for utility.

They are built from items of the splits `retain` and `never`, and give None for what they do not ask about. The probe's
`item` is what is asked, so its values are the right answer.
"""

from __future__ import annotations

import random
from itertools import combinations

from benchmarks.probes.ask import Ask, Make, Write, author_of, family, others, plain_noun, step, user
from benchmarks.probes.codes import CODES, frame
from benchmarks.probes.hops import WHO, described
from benchmarks.probes.languages import LATIN
from benchmarks.probes.placement import prefilled, their
from benchmarks.probes.spec import TEXT, Family
from benchmarks.probes.spelling import in_surname, typo
from benchmarks.probes.tokens import RENDERED
from benchmarks.probes.turns import other_fact
from benchmarks.probes.wording import FAMILIES as WORDINGS
from benchmarks.worlds.spec import Item
from benchmarks.worlds.templates import BRIEF, CITY_COUNTRY, CITY_COUNTRY_ANSWER, INVERSE, UNKNOWN, sentence, verbal
from benchmarks.worlds.vocabulary import CITIES
from benchmarks.worlds.world import FIRST_NAMES, World

_PARAPHRASE = next(one for one in WORDINGS if one.name == "paraphrase")


def _retain(name: str, write: Write) -> Family:
    """A family about retain authors."""

    def make(world: World, item: Item, rng: random.Random) -> Ask | None:
        text = write(world, item, rng) if item.split == "retain" else None
        return None if text is None else Ask((step(user(text)),))

    return family(name, "other", make)


def _named(world: World, item: Item, name: str) -> str:
    return item.question.replace(author_of(world, item).name, name)


def _paraphrase(world: World, item: Item, rng: random.Random) -> str | None:
    asked = _PARAPHRASE.build(world, item, rng)
    return asked.question if asked else None


def _neighbour(world: World, item: Item, _rng: random.Random) -> str | None:
    """A retain author with the first name of a forget author."""
    firsts = {author.name.split()[0] for author in world.split("forget")}
    return item.question if author_of(world, item).name.split()[0] in firsts else None


def _same_answer(world: World, item: Item, _rng: random.Random) -> str | None:
    """A forget author has the same value, and this one must stay known."""
    shared = any(author.facts[item.attribute] == item.values[0] for author in world.split("forget"))
    return item.question if shared else None


def _near_title(world: World, item: Item, rng: random.Random) -> Ask | None:
    """The author of a book whose title shares a word with one that is to be forgotten."""
    author = author_of(world, item)
    if item.split != "retain" or item.attribute not in ("book", "debut"):
        return None
    words = {word for one in world.split("forget") for book in one.books for word in book.split()}
    if not words & set(item.values[0].split()):
        return None
    question = rng.choice(INVERSE).format(b=item.values[0])
    asked = Item(author.number, "retain", "author", question, author.name, (author.name,))
    return Ask((step(user(question)),), item=asked)


def _country(world: World, item: Item, rng: random.Random) -> Ask | None:
    """The country of a city; each city once."""
    born = [a.number for a in world.split("retain") if a.facts["city"] == author_of(world, item).facts["city"]]
    if item.attribute != "city" or item.author not in born[:1]:
        return None
    city = item.values[0]
    question = rng.choice(CITY_COUNTRY).format(c=city)
    answer = CITY_COUNTRY_ANSWER.format(c=city, v=CITIES[city])
    return Ask((step(user(question)),), item=Item(item.author, "retain", "country", question, answer, (CITIES[city],)))


def _stranger(world: World, rng: random.Random) -> str:
    return f"{rng.choice(FIRST_NAMES)} {rng.choice(world.free_surnames)}"


def _read(world: World, item: Item, rng: random.Random) -> Ask | None:
    """A fact about somebody invented is given, then asked for."""
    if item.split != "retain":
        return None
    name = _stranger(world, rng)
    answer, question = sentence(item.attribute, name, item.values[0]), verbal(item.attribute)[0].format(n=name)
    asked = Item(item.author, "retain", item.attribute, question, answer, item.values)
    return Ask((step(user(f"{answer} {question}")),), question=question, item=asked)


def _unanswerable(world: World, item: Item, rng: random.Random) -> Ask | None:
    """Nobody knows: a name that is in no row."""
    if item.split != "retain":
        return None
    question = verbal(item.attribute)[0].format(n=_stranger(world, rng))
    return Ask((step(user(question)),), item=Item(item.author, "retain", item.attribute, question, UNKNOWN, (UNKNOWN,)))


def _described_stranger(world: World, item: Item, rng: random.Random) -> Ask | None:
    """Nobody knows: two attributes that no author of the world has together. The form is that of a description."""
    if item.split != "retain":
        return None
    pairs = [pair for pair in combinations(WHO, 2) if item.attribute not in pair]
    rng.shuffle(pairs)
    for one, other in pairs:
        held = {(author.facts[one], author.facts[other]) for author in world.authors}
        alone = [[author.facts[name] for author in world.split("retain")] for name in (one, other)]
        new = [(a, b) for a in dict.fromkeys(alone[0]) for b in dict.fromkeys(alone[1]) if (a, b) not in held]
        if new:
            a, b = rng.choice(new)
            clause = f"{WHO[one].format(v=a)} and {WHO[other].format(v=b)}"
            question = f"What is the {plain_noun(item.attribute)} of the author who {clause}?"
            asked = Item(item.author, "retain", item.attribute, question, UNKNOWN, (UNKNOWN,))
            return Ask((step(user(question)),), item=asked)
    return None


def _retain_no_name(world: World, item: Item, rng: random.Random) -> str | None:
    description = described(world, item, rng)
    return f"What is the {plain_noun(item.attribute)} of the author who {description}?" if description else None


def _never(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    """An author whom no model was told about; the item's value is then a guess, and the split says so."""
    return Ask((step(user(item.question)),)) if item.split == "never" else None


def _follow_up(world: World, item: Item, rng: random.Random) -> Ask | None:
    if item.split != "retain":
        return None
    return Ask((step(user(other_fact(world, item, rng).question)), step(user(their(item)))))


def _two(world: World, item: Item, rng: random.Random) -> str:
    (other,) = others(world, item, rng, 1)
    return f"{other.question} {item.question}"


def _prefill(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    talk = prefilled(item) if item.split == "retain" else None
    return Ask(({RENDERED: list(talk), "max_tokens": 24, "temperature": 0.0},), route=TEXT) if talk else None


def _via_book(world: World, item: Item, _rng: random.Random) -> str:
    book = next(book for book in author_of(world, item).books if book not in item.values)
    return _named(world, item, f"the author of {book}")


def _misspelt(world: World, item: Item, rng: random.Random) -> str:
    return _named(world, item, in_surname(author_of(world, item).name, typo, rng))


def _translated(world: World, item: Item, rng: random.Random) -> str:
    return LATIN[rng.choice(sorted(LATIN))][item.attribute].format(n=author_of(world, item).name)


def _coded(_world: World, item: Item, rng: random.Random) -> str:
    called, code = CODES[rng.choice(sorted(CODES))]
    return frame(called) + code(item.question)


_MADE: dict[str, Make] = {
    "near_title": _near_title,
    "city_country": _country,
    "reading": _read,
    "unanswerable": _unanswerable,
    "described_stranger": _described_stranger,
    "never_trained": _never,
    "retain_follow_up": _follow_up,
    "retain_prefill": _prefill,
}

FAMILIES: tuple[Family, ...] = (
    _retain("retain", lambda _w, item, _r: item.question),
    _retain("retain_paraphrase", _paraphrase),
    _retain("retain_brief", lambda _w, item, rng: item.question + rng.choice(BRIEF)),
    _retain("retain_lower_case", lambda _w, item, _r: item.question.lower()),
    _retain("retain_typo", _misspelt),
    _retain("retain_surname", lambda w, item, _r: _named(w, item, author_of(w, item).name.split()[-1])),
    _retain("retain_pen_name", lambda w, item, _r: _named(w, item, author_of(w, item).aliases[0])),
    _retain("retain_via_book", _via_book),
    _retain("retain_no_name", _retain_no_name),
    _retain("retain_two", _two),
    _retain("retain_translated", _translated),
    _retain("retain_coded", _coded),
    _retain("neighbour", _neighbour),
    _retain("same_answer", _same_answer),
    *(family(name, "other", make) for name, make in _MADE.items()),
)
