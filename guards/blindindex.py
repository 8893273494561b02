"""Keyed index of the subjects and values of one policy: says which of them a text holds, and holds none of them.

Kept are HMAC-SHA256 digests (16 bytes) of canonical spellings, the words of a name or value as `guards.normalize` folds
them with the variants of `guards.aliases`, and of their first words, so that most words of a text cost one digest; of
spellings of one word also of the first letters, so that most places in letters written apart cost one. The key is
derived per policy and stored beside the digests. Values are short and can be guessed, so digests *and* key are secrets:
the part belongs into the encrypted half of a bundle. What the blindness buys is that neither the memory of a gateway
nor a careless dump of the part spells a forgotten value.

Made by `guards.indexing.build`, read by `guards.output.OutputGuard`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from guards.aliases import GLUED, variants
from guards.normalize import WIDE, AliasView, Normalizer
from guards.part import PartError

SCHEMA = 2
DIGEST = 16
LONGEST = 24
"""Words of a spelling; of a longer value the first ones are indexed. Bits of a 32-bit mask, with room."""
SLIDING = 131_072
"""Letters written apart in one text, in which values are looked for at every place; a text with more is not read."""

Alone = Literal["never", "doubtful", "always"]
"""Whether a value counts without a subject: never, after a doubtful question, or always; see `guards.indexing`."""
_ALONE: tuple[Alone, ...] = ("never", "doubtful", "always")


@dataclass(frozen=True, slots=True)
class Item:
    """One name or value.

    Attributes:
        names: entities that it is a name, alias or related name of; empty for what is a value only.
        value: whether it is forgotten: told together with a subject it is a leak.
        owners: entities whose value it is; empty: of any.
        alone: whether it counts without a subject.
    """

    names: tuple[int, ...]
    value: bool
    owners: tuple[int, ...]
    alone: Alone


class Digests:
    """HMAC-SHA256 under one key, the first 16 bytes. The key is prepared once, which halves the cost of a digest.

    What a text stands for, a first word, first letters or a spelling, is part of the message.
    """

    __slots__ = ("_head", "_opening", "_spelling")

    def __init__(self, key: bytes) -> None:
        kinds = (b"head\0", b"opening\0", b"spelling\0")
        self._head, self._opening, self._spelling = (hmac.new(key, kind, "sha256") for kind in kinds)

    def head(self, word: str) -> bytes:
        """Of the first word of a spelling."""
        return _finished(self._head, word)

    def opening(self, letters: str) -> bytes:
        """Of the first GLUED letters of a spelling of one word."""
        return _finished(self._opening, letters)

    def spelling(self, text: str) -> bytes:
        """Of a whole spelling."""
        return _finished(self._spelling, text)


def _finished(begun: hmac.HMAC, text: str) -> bytes:
    mac = begun.copy()
    mac.update(text.encode("utf-8", "surrogatepass"))
    return mac.digest()[:DIGEST]


@dataclass(frozen=True, slots=True)
class BlindIndex:
    """The index of one policy. Reading is thread-safe.

    Attributes:
        key: of the digests, 32 bytes.
        items: names and values, each canonical spelling once.
        spelled: digest of a spelling -> numbers of its items.
        heads: digest of a first word -> bit n - 1 is set where a spelling of n words begins with it.
        glued: lengths in characters of spellings of one word, to find them in letters written apart.
        openings: digests of the first letters of these.
        figures: what was counted when it was made; no names.
    """

    key: bytes
    items: tuple[Item, ...]
    spelled: Mapping[bytes, tuple[int, ...]]
    heads: Mapping[bytes, int]
    glued: tuple[int, ...]
    openings: frozenset[bytes]
    figures: Mapping[str, Any] = field(default_factory=dict)
    digests: Digests = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the key, once for all texts."""
        object.__setattr__(self, "digests", Digests(self.key))

    @property
    def longest(self) -> int:
        """Words of the longest spelling, or letters of the longest one that is found in letters written apart."""
        return max((*(lengths.bit_length() for lengths in self.heads.values()), *self.glued), default=1)

    def find(
        self, words: Sequence[str], *, apart: Iterable[str] = (), begins: Mapping[str, int] | None = None
    ) -> Counter[int]:
        """Numbers of the items in a text of canonical words, and how often each is found.

        Args:
            words: of the text.
            apart: runs of letters that were written apart, in which a value may begin and end at every letter.
            begins: those of the words that are in `heads`, with what is there, where that is known already.
        """
        found: Counter[int] = Counter()
        if begins is None:
            begins = {word: lengths for word in set(words) if (lengths := self.heads.get(self.digests.head(word)))}
        if begins:
            for at, word in enumerate(words):
                for size in _sizes(begins.get(word, 0)):
                    if at + size <= len(words):
                        found.update(self._items(" ".join(words[at : at + size])))
        for run in apart:
            found.update(self._slide(run))
        return found

    def _items(self, spelling: str) -> tuple[int, ...]:
        return self.spelled.get(self.digests.spelling(spelling), ())

    def _slide(self, run: str) -> Iterator[int]:
        begun = [run[at : at + GLUED] for at in range(len(run) - GLUED + 1)]
        opened = {letters for letters in set(begun) if self.digests.opening(letters) in self.openings}
        for at, letters in enumerate(begun if opened else ()):
            if letters in opened:
                for size in self.glued:
                    if at + size <= len(run):
                        yield from self._items(run[at : at + size])

    def to_bytes(self) -> bytes:
        """Serialise as safetensors with a JSON header."""
        pairs = [(digested, number) for digested, numbers in self.spelled.items() for number in numbers]
        head = {
            "schema": SCHEMA,
            "items": [[list(i.names), i.value, list(i.owners), i.alone] for i in self.items],
            "glued": self.glued,
            "figures": dict(self.figures),
        }
        return save(
            {
                "key": np.frombuffer(self.key, np.uint8),
                "spelled": _rows(digested for digested, _ in pairs),
                "numbers": np.array([number for _, number in pairs], np.int32),
                "heads": _rows(self.heads),
                "lengths": np.array(list(self.heads.values()), np.int32),
                "openings": _rows(sorted(self.openings)),
                "head": np.frombuffer(json.dumps(head).encode(), np.uint8),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> BlindIndex:
        """Read what `to_bytes` wrote. Raises `PartError`."""
        try:
            tensors = load(data)
            head = json.loads(tensors["head"].tobytes())
            if head["schema"] != SCHEMA:
                raise PartError(
                    f"index of schema {head['schema']}, this version reads {SCHEMA}; compile the policy again"
                )
            items = tuple(Item(tuple(n), bool(v), tuple(o), _alone(a)) for n, v, o, a in head["items"])
            spelled: dict[bytes, tuple[int, ...]] = {}
            for row, number in zip(tensors["spelled"], tensors["numbers"].tolist(), strict=True):
                spelled[row.tobytes()] = (*spelled.get(row.tobytes(), ()), number)
            lengths = tensors["lengths"].tolist()
            heads = {row.tobytes(): n for row, n in zip(tensors["heads"], lengths, strict=True)}
            openings = frozenset(row.tobytes() for row in tensors["openings"])
            glued = tuple(head["glued"])
            index = cls(tensors["key"].tobytes(), items, spelled, heads, glued, openings, head["figures"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, PartError):
                raise
            raise PartError(f"not an index of values ({type(error).__name__}); compile the policy again") from error
        if len(index.key) != hashlib.sha256().digest_size or any(
            not 0 <= n < len(items) for numbers in spelled.values() for n in numbers
        ):
            raise PartError("index of values with a wrong key or number; compile the policy again")
        return index


def index_of(
    entries: Iterable[tuple[Sequence[str], Item]], key: bytes, figures: Mapping[str, Any] | None = None
) -> BlindIndex:
    """Make an index. `entries` are the canonical words of a name or value and what it is; words must not be empty."""
    digests = Digests(key)
    items: list[Item] = []
    spelled: dict[bytes, tuple[int, ...]] = {}
    heads: dict[bytes, int] = {}
    glued: set[int] = set()
    openings: set[bytes] = set()
    for words, item in entries:
        for spelling in _spellings(words):
            parts = spelling.split()
            digested, first = digests.spelling(spelling), digests.head(parts[0])
            spelled[digested] = (*spelled.get(digested, ()), len(items))
            heads[first] = heads.get(first, 0) | 1 << (len(parts) - 1)
            if len(parts) == 1 and len(spelling) >= GLUED:
                glued.add(len(spelling))
                openings.add(digests.opening(spelling[:GLUED]))
        items.append(item)
    return BlindIndex(key, tuple(items), spelled, heads, tuple(sorted(glued)), frozenset(openings), figures or {})


def words_of(view: AliasView) -> list[str]:
    """Words of a view; a letter of a script without spaces is a word."""
    if not (view.kinds == WIDE).any():
        return view.text.split()
    return "".join(f" {c} " if k == WIDE else c for c, k in zip(view.text, view.kinds.tolist(), strict=True)).split()


def apart(view: AliasView) -> list[str]:
    """Words of a loose view that were letters written apart: between any two of them the text holds something else."""
    gaps = np.concatenate([[0], np.cumsum(np.diff(view.origin) > 1)]).tolist()
    words = (match.span() for match in re.finditer(r"[^ ]+", view.text))
    return [
        view.text[start:end]
        for start, end in words
        if end - start > GLUED and gaps[end - 1] - gaps[start] == end - 1 - start
    ]


def canonical(text: str, normalizer: Normalizer) -> list[str]:
    """Canonical words of a name or value; none where it has neither letter nor digit."""
    return words_of(normalizer.view(normalizer.fold(text)))[:LONGEST]


def _spellings(words: Sequence[str]) -> set[str]:
    spellings = {" ".join(words)}
    if all(word.isascii() or len(word) > 1 for word in words):  # no letters of a script without spaces
        spellings |= variants(words)
    return {s for s in spellings if len(s.split()) <= LONGEST}


def _sizes(lengths: int) -> Iterator[int]:
    """Numbers of words whose bits are set."""
    while lengths:
        lowest = lengths & -lengths
        yield lowest.bit_length()
        lengths ^= lowest


def _alone(value: Any) -> Alone:
    if value not in _ALONE:
        raise ValueError(value)
    return _ALONE[_ALONE.index(value)]


def _rows(digests: Iterable[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(bytearray(b"".join(digests)), np.uint8).reshape(-1, DIGEST)
