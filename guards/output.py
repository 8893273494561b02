"""The guard of what leaves: says whether an answer tells what a policy forgets.

Descriptions and questions over two hops pass the input guard, because nothing in them names the subject. What is
forgotten is then in the answer: a value beside its subject, or a value that speaks for itself. Question and answer are
read in every view of `guards.views`; a policy's subjects and values are known by keyed digests only
(`guards.blindindex`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.blindindex import SLIDING, BlindIndex, apart, words_of
from guards.border import BARRIER, heads, tail
from guards.encoder import Floats
from guards.finding import Finding, Rule
from guards.normalize import Ints
from guards.reading import Reader
from guards.verdict import TextPart, Verdict

DOUBTFUL = 0.05
"""p-value up to which a question that was not flagged is doubtful: one harmless request in twenty."""
CANDIDATES = 3
"""So many choices of one list, one of them a value of a policy, offer candidates of one attribute."""
_CHOICE = re.compile(r"/(?:enum|choice|const)(?=/|\Z)")
"""What a string that can be chosen is below, in its JSON pointer."""
_LIST = re.compile(r"/(?:enum|choice|anyOf|oneOf|\$defs|definitions)(?=/)")
"""What choices from one list are below; definitions, because a list may refer to them."""


class UnreadError(ValueError):
    """A text that is too long or too deeply coded to be read in full."""


class OutputGuard:
    """Scans answers for the values of all policies it was given. Thread-safe."""

    def __init__(self, indices: Mapping[str, BlindIndex], allow_context: Collection[str] = ()) -> None:
        """`indices` are by policy number.

        `allow_context`: policies that let an answer repeat what one text of the user says of a subject.
        """
        self.policies = tuple(sorted(indices))
        self._indices = dict(indices)
        self._allow_context = frozenset(allow_context)
        self._reader = Reader(_NoVectors())

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes], allow_context: Collection[str] = ()) -> OutputGuard:
        """Build the guard from `BlindIndex.to_bytes()` by policy number. Raises `PartError`."""
        return cls({number: BlindIndex.from_bytes(data) for number, data in parts.items()}, allow_context)

    def scan(
        self,
        asked: Sequence[TextPart],
        answer: Sequence[str],
        verdicts: Mapping[str, Verdict],
        policies: Collection[str],
    ) -> list[Finding]:
        """What an answer tells, one finding per policy named, in the order of the policy numbers.

        Args:
            asked: every text of the request.
            answer: every text of the answer: contents, reasoning, names and arguments of calls, what tokens spell.
            verdicts: of the input guard on the request, by policy number; one that is missing raises no doubt.
            policies: numbers of the policies to look for.

        Raises `KeyError` for a policy that this guard does not have.
        """
        chosen = sorted(set(policies))
        try:
            said, border = self._words(answer), self._border(asked, answer)
        except UnreadError:
            return [Finding(policy, told=False, ran=False) for policy in chosen]
        question = _Question(asked, self._words)
        rules = [self._rule(p, said, border, question, doubtful=_doubtful(verdicts, p)) for p in chosen]
        return [Finding(policy, rule != "none", rule) for policy, rule in zip(chosen, rules, strict=True)]

    def offered(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> list[str]:
        """Policies of which a request offers candidates: where a model must choose, the choice is the answer.

        A request offers three choices or more in one list of a schema or grammar, one of them a value of the policy. An
        ordinary value, a city in a list of cities, counts only where a subject is in the request or the request is
        doubtful. A choice that cannot be read in full is none; the verdicts of the input guard say that it is there.
        """
        lists: dict[str, list[str]] = {}
        for part in asked:
            if _CHOICE.search(part.path):
                for place in _LIST.finditer(part.path):
                    lists.setdefault(part.path[: place.end()], []).append(part.text)
        texts = {text for texts in lists.values() if len(texts) >= CANDIDATES for text in texts}
        offers = [words for text in sorted(texts) for words in self._readable(text) or ()]
        question = _Question(asked, self._words)
        return [policy for policy in sorted(set(policies)) if self._offers(policy, offers, question, verdicts)]

    def _offers(
        self, policy: str, offers: Sequence[_Words], question: _Question, verdicts: Mapping[str, Verdict]
    ) -> bool:
        index = self._indices[policy]
        values = [number for number in _found(index, offers) if index.items[number].value]
        if not values or any(index.items[number].alone != "never" for number in values) or _doubtful(verdicts, policy):
            return bool(values)
        asked = set[int]().union(*(numbers for _, numbers in question.found(index)))
        every = range(len(index.items)) if question.unread else asked
        return any(index.items[s].names and s != v and _belongs(index, v, s) for v in values for s in every)

    def _rule(
        self, policy: str, said: Sequence[_Words], border: _Border, question: _Question, *, doubtful: bool
    ) -> Rule:
        """Why an answer tells something, or `none`. The question is read only where the answer holds a value."""
        index = self._indices[policy]
        items = index.items
        told = {*_found(index, said), *border.crossed(index)}
        values = [number for number in told if items[number].value]
        if not values:
            return "none"
        held = question.found(index)
        asked = set[int]().union(*(numbers for _, numbers in held))
        every = range(len(items)) if question.unread else told | asked
        subjects = [number for number in every if items[number].names]
        rule: Rule = "none"
        for number in values:
            item, brought = items[number], number not in asked
            if brought and item.alone == "always":
                rule = "alone"
            elif brought and item.alone == "doubtful" and doubtful and rule == "none":
                rule = "doubtful"
            if not brought and item.names:
                continue  # a name that the client wrote is no news
            beside = [s for s in subjects if s != number and _belongs(index, number, s)]
            if beside and not (policy in self._allow_context and _copied(held, number, beside)):
                return "pair"
        return rule

    def _border(self, asked: Sequence[TextPart], answer: Sequence[str]) -> _Border:
        """The words around the place where the answer goes on with the request. Raises `UnreadError`."""
        before, after = tail(asked), heads(answer)
        alone = self._readable(before) if before and after else None
        if alone is None:
            return _Border(0, [], [])
        return _Border(len(after), alone, self._words([f" {BARRIER} ".join(before + head for head in after)]))

    def _words(self, texts: Iterable[str]) -> list[_Words]:
        """Words of all views of texts. Raises `UnreadError`."""
        found = []
        for text in texts:
            reading = self._reader.read(text)
            words = [_Words(words_of(v.view), apart(v.view) if v.loose else []) for v in reading.views]
            if reading.truncated or sum(len(run) for view in words for run in view.apart) > SLIDING:
                raise UnreadError("a text is too long or too deeply coded to be read in full")
            found += words
        return found

    def _readable(self, text: str) -> list[_Words] | None:
        """Words of all views of a text of the request; None where it cannot be read in full."""
        try:
            return self._words([text])
        except UnreadError:
            return None


@dataclass(frozen=True, slots=True)
class _Words:
    """Canonical words of one view of a text; `apart`: those that were letters written apart."""

    words: list[str]
    apart: list[str]


@dataclass(frozen=True, slots=True)
class _Border:
    """The last words of a request, and the same words with the first ones of an answer behind them, `count` times."""

    count: int
    before: list[_Words]
    joined: list[_Words]

    def crossed(self, index: BlindIndex) -> Iterator[int]:
        """Numbers of the items that end in the answer: there are more of them than the request's words hold."""
        joined = _counted(index, self.joined)
        before = _counted(index, self.before) if joined else joined
        return (number for number, times in joined.items() if times > self.count * before[number])


class _Question:
    """The texts of a request, read when they are first asked for.

    A text that cannot be read in full is taken to hold no value and every subject. To fail would tell a client that an
    answer holds a value, because only then is the request read. `unread` says so, once the texts were asked for.
    """

    def __init__(self, parts: Sequence[TextPart], words: Callable[[Iterable[str]], list[_Words]]) -> None:
        self._parts, self._words = parts, words
        self._read: list[tuple[bool, list[_Words]]] | None = None
        self.unread = False

    def found(self, index: BlindIndex) -> list[tuple[bool, set[int]]]:
        """Of every text whether the user supplied it, and the numbers of the items in it."""
        if self._read is None:
            self._read = []
            for part in self._parts:
                try:
                    self._read.append((part.role != "assistant", self._words([part.text])))
                except UnreadError:
                    self.unread = True
        return [(supplied, _found(index, words)) for supplied, words in self._read]


def _found(index: BlindIndex, views: Iterable[_Words]) -> set[int]:
    return set(_counted(index, views))


def _counted(index: BlindIndex, views: Iterable[_Words]) -> Counter[int]:
    return sum((index.find(view.words, apart=view.apart) for view in views), Counter[int]())


def _doubtful(verdicts: Mapping[str, Verdict], policy: str) -> bool:
    verdict = verdicts.get(policy)
    return verdict is not None and verdict.p_value <= DOUBTFUL


def _belongs(index: BlindIndex, value: int, subject: int) -> bool:
    owners = index.items[value].owners
    return not owners or not set(owners).isdisjoint(index.items[subject].names)


def _copied(held: Iterable[tuple[bool, set[int]]], value: int, subjects: Collection[int]) -> bool:
    """Whether one text of the user holds the value and a subject of it."""
    return any(supplied and value in numbers and not numbers.isdisjoint(subjects) for supplied, numbers in held)


class _NoVectors:
    """The encoder of a reader from which only the views are wanted."""

    dim = 0
    fingerprint = "none"
    vocabulary: frozenset[str] = frozenset()

    def read(self, words: Sequence[str]) -> _Counted:
        """Count every word as one token."""
        return _Counted(np.ones(len(words), np.int64))


@dataclass(frozen=True, slots=True)
class _Counted:
    """Words without vectors."""

    tokens: Ints

    def vectors(self, first: Ints, last: Ints) -> Floats:
        """Vectors without a dimension, `[ranges, 0]`."""
        return np.zeros((len(first), 0), np.float32)
