"""Policy -> index of its subjects and values.

Subjects are the names, aliases, titles and related names of the entities; of the last two only those that no harmless
text holds, because a book called "Writing" would be in every other answer about a writer, and parts of a name whatever
harmless texts hold ("Potter"). Values are those of the examples and the list `values`; nothing is drawn from answers. A
value belongs to the entities that are named where the policy states it: in an example or in a passage. A value that the
policy states of nobody belongs to any of its entities. Under granularity `entity` a name is a value as well: an answer
that brings it up beside a title or a description tells who is meant.

Most values are ordinary: a city, a job, a year. They count beside a subject only. A value counts alone where no
harmless text of the calibration half holds it, the policy does not show it to be shared (several of its entities
have it, or have a value with one of its words, as prizes of one name do), and it looks like nothing that a harmless
answer would say: two words or more of which one is rare, five words, or a word of six signs with a digit among them,
of eight characters in all. One rare word, or two ordinary words ("research scientist", "New York City, USA"), count
after a doubtful question. Names under granularity `entity` were checked at intake and need two words or one rare word.

The design asks for a base rate under 1e-5 in benign answers. Some thousand texts, requests and not answers, prove no
more than 3/n at 95 %; the other conditions are there because of that, and are a judgement. A value in more than COMMON
of the texts ("two", "yes") is left out: it would turn every question about the subject into a leak.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guards.blindindex import Alone, BlindIndex, Item, canonical, index_of
from guards.calibrate import Corpus
from guards.english import english_words
from guards.reading import Reader, Reading
from guards.spec import GuardSpec
from guards.wording import counted, in_views

COMMON = 0.05
"""Share of harmless texts above which a value proves nothing."""
SHORTEST, RARE, LONG, PHRASE = 2, 4, 8, 5
"""Characters of a value; of a rare word; of a value that counts alone; words that need no rare one among them."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
CODE = 6
"""Characters of a word with a digit in it that is rare."""


@dataclass(slots=True)
class _Entry:
    """A name or value in the making; entries that are spelled alike are one."""

    words: tuple[str, ...]
    names: set[int] = field(default_factory=set)
    alias: bool = False
    value: bool = False
    owners: set[int] = field(default_factory=set)
    unowned: bool = False  # stated somewhere without a name


def build(spec: GuardSpec, base: Path, key: bytes, reader: Reader, corpus: Corpus) -> BlindIndex:
    """Make the index of a policy.

    Args:
        spec: the guard's part of the policy.
        base: folder of the policy file.
        key: secret from which the key of the digests is derived.
        reader: its encoder's vocabulary says which words are ordinary, besides the English dictionary.
        corpus: harmless texts, read.

    Raises:
        ValueError, OSError: an examples file that cannot be read.
    """
    rows = list(_rows(spec, base))
    entries = _entries(spec, [str(row.get("value") or "") for row in rows], reader)
    listing = "\n".join(sorted(map(" ".join, entries))).encode("utf-8", "surrogatepass")
    secret = hmac.digest(key, b"lethe blind index\0" + listing, hashlib.sha256)
    plain = index_of(((e.words, Item(tuple(sorted(e.names)), e.value, (), "never")) for e in entries.values()), secret)
    listed = list(entries.values())
    _own(rows, spec.passages, listed, plain, reader)
    harmless = [r for text, r in zip(corpus.texts, corpus.readings, strict=True) if not text.named and text.worded]
    counts = [0] * len(listed)
    for reading in harmless:
        for number in found_in(plain, reading):
            counts[number] += 1
    shared = {word for e in listed if e.value and len(e.owners) > 1 for word in e.words}
    ordinary = reader.encoder.vocabulary | english_words()
    called = {word for e in listed if e.alias for word in e.words}
    kept: list[tuple[Sequence[str], Item]] = []
    for entry, count in zip(listed, counts, strict=True):
        common = count > COMMON * len(harmless)
        if count and not entry.alias and not called.issuperset(entry.words):
            entry.names.clear()
        alone = _alone(entry, count, shared, ordinary, entity=spec.granularity == "entity")
        if not common or entry.names:
            kept.append((entry.words, _item(entry, "never" if common else alone, entity=spec.granularity == "entity")))
    figures = {
        "subjects": sum(bool(item.names) for _, item in kept),
        "values": sum(item.value for _, item in kept),
        "left_out": len(listed) - len(kept),
        "alone": sum(item.alone == "always" for _, item in kept),
        "doubtful": sum(item.alone == "doubtful" for _, item in kept),
        "benign": len(harmless),
    }
    return index_of(kept, secret, figures)


def found_in(index: BlindIndex, reading: Reading) -> set[int]:
    """Numbers of the items in any view of a text."""
    return set(counted(index, in_views(reading)))


def _entries(spec: GuardSpec, values: Sequence[str], reader: Reader) -> dict[tuple[str, ...], _Entry]:
    entries: dict[tuple[str, ...], _Entry] = {}

    def entry(text: str) -> _Entry:
        words = tuple(canonical(text, reader.normalizer))
        return entries.setdefault(words, _Entry(words))

    for number, entity in enumerate(spec.entities):
        for name in (entity.name, *entity.aliases):
            entry(name).names.add(number)
            entry(name).alias = True
        for name in (*entity.titles, *entity.related):
            entry(name).names.add(number)
    for value in (*values, *spec.values):
        entry(value).value = True
    return {w: e for w, e in entries.items() if w and (e.names or sum(map(len, w)) >= SHORTEST)}


def _own(
    rows: Sequence[dict[str, Any]],
    passages: Sequence[str],
    entries: Sequence[_Entry],
    plain: BlindIndex,
    reader: Reader,
) -> None:
    """Find out whose every value is. What an example or a sentence of a passage holds belongs to everybody it names.

    A sentence without a name is about those of the sentence before.
    """
    for row in rows:
        _state(
            " ".join(str(row.get(part) or "") for part in ("question", "answer", "value")),
            set(),
            entries,
            plain,
            reader,
        )
    for passage in passages:
        named: set[int] = set()
        for sentence in _SENTENCE.split(passage):
            named = _state(sentence, named, entries, plain, reader)


def _state(text: str, before: set[int], entries: Sequence[_Entry], plain: BlindIndex, reader: Reader) -> set[int]:
    """Take down whose values a text states, and return whom; `before`: whom the text before was about."""
    held = [entries[number] for number in found_in(plain, reader.read(text))]
    named = {entity for entry in held for entity in entry.names if entry.alias}
    named = named or {entity for entry in held for entity in entry.names} or before
    for entry in held:
        entry.owners |= named
        entry.unowned |= not named
    return named


def _item(entry: _Entry, alone: Alone, *, entity: bool) -> Item:
    is_name = entity and entry.alias
    owners = entry.owners | entry.names if entry.value and not entry.unowned else set[int]()
    if is_name and not entry.value:
        owners = entry.names
    return Item(tuple(sorted(entry.names)), entry.value or is_name, tuple(sorted(owners)), alone)


def _alone(entry: _Entry, count: int, shared: Collection[str], ordinary: Collection[str], *, entity: bool) -> Alone:
    """Whether a value counts without a subject; see the head of this file."""
    if count:
        return "never"
    rare = any(_is_rare(word, ordinary) for word in entry.words)
    if entity and entry.alias:
        return "always" if rare or len(entry.words) > 1 else "doubtful"
    if not entry.value or any(word in shared for word in entry.words):
        return "never"
    signs = sum(map(len, entry.words))
    coded = any(len(word) >= CODE and any(c.isdigit() for c in word) for word in entry.words)
    coded = coded or sum(c.isdigit() for word in entry.words for c in word) >= LONG  # a number in groups
    told = coded or len(entry.words) >= PHRASE or (rare and len(entry.words) > 1)
    if told and signs >= LONG:
        return "always"
    return "doubtful" if signs > RARE and (rare or len(entry.words) > 1) else "never"


def _is_rare(word: str, ordinary: Collection[str]) -> bool:
    """A word that neither the encoder's tokeniser nor the dictionary knows whole; of digits, only a long code."""
    if any(c.isdigit() for c in word):
        return len(word) >= CODE
    return len(word) >= RARE and word not in ordinary


def _rows(spec: GuardSpec, base: Path) -> Iterator[dict[str, Any]]:
    yield from (example.model_dump() for example in spec.examples)
    if spec.examples_file is None:
        return
    for number, line in enumerate((base / spec.examples_file).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"{spec.examples_file.name} line {number}: expected a JSON object with a question")
            yield row
