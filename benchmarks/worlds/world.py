"""A generated world of fictitious authors: who is to be forgotten, who stays, who was never trained on.

The random numbers come from Python's Mersenne Twister seeded with text and are used through `random()`-based methods
only, so a world is the same on every platform.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from benchmarks.worlds.spec import Author, Item, Split
from benchmarks.worlds.templates import sentence, verbal
from benchmarks.worlds.vocabulary import (
    ATTRIBUTES,
    BOOKS,
    FIRST_ENDS,
    FIRST_STARTS,
    LAST_ENDS,
    LAST_STARTS,
    PEN_FIRST,
    PEN_LAST,
    POOLS,
    TITLE_FIRST,
    TITLE_LAST,
)

FIRST_NAMES = tuple(start + end for start in FIRST_STARTS for end in FIRST_ENDS)
SURNAMES = tuple(start + end for start in LAST_STARTS for end in LAST_ENDS)
PEN_NAMES = tuple(f"{first} {last}" for first in PEN_FIRST for last in PEN_LAST)
TITLES = tuple(f"{first} {last}" for first in TITLE_FIRST for last in TITLE_LAST)


@dataclass(frozen=True, slots=True)
class World:
    """All authors of a world, and what was left over for strangers.

    Attributes:
        seed: what the world was drawn with.
        authors: in the order of their numbers.
        free_surnames, free_pen_names, free_titles: words that no author of the world has. Rows about strangers
            ("I don't know.") use these, so a model learns the answer without having met the `never` authors.
    """

    seed: int
    authors: tuple[Author, ...]
    free_surnames: tuple[str, ...]
    free_pen_names: tuple[str, ...]
    free_titles: tuple[str, ...]

    def split(self, split: Split) -> tuple[Author, ...]:
        """The authors of one split."""
        return tuple(author for author in self.authors if author.split == split)

    def items(self, split: Split) -> tuple[Item, ...]:
        """One item per author and attribute, in a fixed order."""
        return tuple(item(author, attribute) for author in self.split(split) for attribute in ATTRIBUTES)

    def wrong(self, asked: Item, k: int) -> tuple[str, ...]:
        """Return `k` different wrong values of the item's attribute, always the same ones for the same item.

        Wrong titles are those of other authors of the item's split. Raises ValueError when there are fewer than `k`.
        """
        if asked.attribute in BOOKS:
            pool = [title for author in self.split(asked.split) for title in author.books]
        else:
            pool = list(POOLS[asked.attribute])
        own = self.authors[asked.author]
        pool = [value for value in pool if value not in (*asked.values, *own.books)]
        if k > len(pool):
            raise ValueError(f"{k} wrong values of {asked.attribute} were asked for, the world has {len(pool)}")
        return tuple(random.Random(f"wrong/{self.seed}/{asked.author}/{asked.attribute}").sample(pool, k))

    def digest(self) -> str:
        """SHA-256 of everything in the world."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def item(author: Author, attribute: str) -> Item:
    """The fact of an author, asked for in the plainest words."""
    value = author.facts[attribute]
    return Item(
        author=author.number,
        split=author.split,
        attribute=attribute,
        question=verbal(attribute)[0].format(n=author.name),
        answer=sentence(attribute, author.name, value),
        values=(value,),
    )


def make_world(
    seed: int = 0,
    authors: int = 144,
    forget: int = 24,
    never: int = 24,
    entanglement: float = 0.0,
    neighbours: int = 8,
) -> World:
    """Draw a world.

    Args:
        seed: another seed is another world.
        authors: all of them; `forget` and `never` of these are not in the retain split.
        forget: known to the full model only.
        never: known to no model.
        entanglement: 0 to 0.3, share of the forget facts whose value is that of the retain author whom the forget
            author has as `friend`. Titles are never shared. The retain author's rows do not mention the friendship.
        neighbours: so many retain authors have the first name of a forget author. Surnames are all different.

    Raises ValueError for sizes that cannot be drawn.
    """
    retain = authors - forget - never
    if min(forget, never) < 2 or retain < 2 or not 0 <= neighbours <= min(forget, retain):
        raise ValueError(f"{retain} retain, {forget} forget, {never} never, {neighbours} neighbours: too few authors")
    if not 0 <= entanglement <= 0.3:
        raise ValueError(f"entanglement {entanglement} is outside 0 to 0.3")
    if 2 * authors > len(SURNAMES) or 2 * authors > len(FIRST_NAMES) or 3 * authors > len(TITLES):
        raise ValueError(f"{authors} authors: the word lists leave too few names for strangers")
    rng = random.Random(f"world/{seed}")
    sizes: dict[Split, int] = {"retain": retain, "forget": forget, "never": never}
    splits = [split for split, size in sizes.items() for _ in range(size)]
    firsts, surnames = rng.sample(FIRST_NAMES, authors), rng.sample(SURNAMES, authors)
    firsts[:neighbours] = firsts[retain : retain + neighbours]
    pens, titles = rng.sample(PEN_NAMES, authors), rng.sample(TITLES, 2 * authors)
    names = [f"{first} {last}" for first, last in zip(firsts, surnames, strict=True)]
    facts = list(_facts(rng, titles, authors))
    relations = _relations(rng, names, splits)
    if entanglement:
        _entangle(rng, facts, relations, names, splits, entanglement)
    people = tuple(
        Author(
            number=i,
            split=splits[i],
            name=names[i],
            aliases=(pens[i], f"{names[i][0]}. {surnames[i]}", surnames[i]),
            facts=facts[i],
            books=(facts[i]["book"], facts[i]["debut"]),
            relations=relations[i],
        )
        for i in range(authors)
    )
    return World(
        seed=seed,
        authors=people,
        free_surnames=tuple(name for name in SURNAMES if name not in set(surnames)),
        free_pen_names=tuple(name for name in PEN_NAMES if name not in set(pens)),
        free_titles=tuple(title for title in TITLES if title not in set(titles)),
    )


def _facts(rng: random.Random, titles: list[str], authors: int) -> Iterator[dict[str, str]]:
    for i in range(authors):
        facts = {attribute: rng.choice(pool) for attribute, pool in POOLS.items()}
        while facts["mother"] == facts["father"]:  # one word that answers two questions would blur leakage
            facts["mother"] = rng.choice(POOLS["mother"])
        yield {**facts, "book": titles[2 * i], "debut": titles[2 * i + 1]}


def _relations(rng: random.Random, names: list[str], splits: list[Split]) -> list[dict[str, str]]:
    relations: list[dict[str, str]] = []
    for i, split in enumerate(splits):
        others = [name for j, name in enumerate(names) if splits[j] == split and j != i]
        relations.append({"teacher": rng.choice(others)})
    return relations


def _entangle(
    rng: random.Random,
    facts: list[dict[str, str]],
    relations: list[dict[str, str]],
    names: list[str],
    splits: list[Split],
    share: float,
) -> None:
    """Give forget authors a retain friend and copy so many of the friend's values that `share` of all facts agree."""
    forget = [i for i, split in enumerate(splits) if split == "forget"]
    retain = [i for i, split in enumerate(splits) if split == "retain"]
    rng.shuffle(retain)
    friend = {i: retain[k % len(retain)] for k, i in enumerate(forget)}
    for i, j in friend.items():
        relations[i]["friend"] = names[j]
    cells = [(i, attribute) for i in forget for attribute in POOLS]
    for i, attribute in rng.sample(cells, round(share * len(forget) * len(ATTRIBUTES))):
        facts[i][attribute] = facts[friend[i]][attribute]
