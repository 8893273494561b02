"""The guard of what leaves: says whether an answer tells what a policy forgets.

Descriptions and questions over two hops pass the input guard, because nothing in them names the subject. What is
forgotten is then in the answer: a value beside its subject, or a value that speaks for itself. Question and answer are
read in every view of `guards.views`; a policy's subjects and values are known by keyed digests only
(`guards.blindindex`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.blindindex import BlindIndex, words_of
from guards.encoder import Floats
from guards.finding import Finding, Rule
from guards.normalize import Ints
from guards.reading import Reader
from guards.verdict import TextPart, Verdict

DOUBTFUL = 0.05
"""p-value up to which a question that was not flagged is doubtful: one harmless request in twenty."""
CANDIDATES = 3
"""So many choices of one list, one of them a value of a policy, offer candidates of one attribute."""
_CHOICE = re.compile(r"(.*/(?:enum|choice))/\d+")


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
            said = self._words(answer)
        except UnreadError:
            return [Finding(policy, told=False, ran=False) for policy in chosen]
        question = _Question(asked, self._words)
        found = []
        for policy in chosen:
            try:
                rule = self._rule(policy, said, question, doubtful=_doubtful(verdicts, policy))
            except UnreadError:
                found.append(Finding(policy, told=False, ran=False))
            else:
                found.append(Finding(policy, rule != "none", rule))
        return found

    def offered(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> list[str]:
        """Policies of which a request offers candidates: where a model must choose, the choice is the answer.

        A request offers three choices or more in one list of a schema or grammar, one of them a value of the policy. An
        ordinary value, a city in a list of cities, counts only where a subject is in the request or the request is
        doubtful. Raises `UnreadError`.
        """
        lists: dict[str, list[str]] = {}
        for part in asked:
            if place := _CHOICE.fullmatch(part.path):
                lists.setdefault(place[1], []).append(part.text)
        offers = self._words(text for texts in lists.values() if len(texts) >= CANDIDATES for text in texts)
        question = _Question(asked, self._words)
        return [policy for policy in sorted(set(policies)) if self._offers(policy, offers, question, verdicts)]

    def _offers(
        self, policy: str, offers: Sequence[_Words], question: _Question, verdicts: Mapping[str, Verdict]
    ) -> bool:
        index = self._indices[policy]
        values = [number for number in _found(index, offers) if index.items[number].value]
        if not values or any(index.items[number].alone != "never" for number in values) or _doubtful(verdicts, policy):
            return bool(values)
        asked = set[int]().union(*(numbers for _, numbers in question.found(policy, index)))
        return any(index.items[s].names and s != v and _belongs(index, v, s) for v in values for s in asked)

    def _rule(self, policy: str, said: Sequence[_Words], question: _Question, *, doubtful: bool) -> Rule:
        """Why an answer tells something, or `none`. The question is read only where the answer holds a value."""
        index = self._indices[policy]
        items = index.items
        told = _found(index, said)
        values = [number for number in told if items[number].value]
        if not values:
            return "none"
        held = question.found(policy, index)
        asked = set[int]().union(*(numbers for _, numbers in held))
        subjects = [number for number in told | asked if items[number].names]
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

    def _words(self, texts: Iterable[str]) -> list[_Words]:
        """Words of all views of texts. Raises `UnreadError`."""
        found = []
        for text in texts:
            reading = self._reader.read(text)
            if reading.truncated:
                raise UnreadError("a text is too long or too deeply coded to be read in full")
            found += [_Words(words_of(view.view), view.loose) for view in reading.views]
        return found


@dataclass(frozen=True, slots=True)
class _Words:
    """Canonical words of one view of a text; `loose`: some were letters written apart."""

    words: list[str]
    loose: bool


class _Question:
    """The texts of a request, read when they are first asked for."""

    def __init__(self, parts: Sequence[TextPart], words: Callable[[Iterable[str]], list[_Words]]) -> None:
        self._parts, self._words = parts, words
        self._read: list[tuple[bool, list[_Words]]] | None = None

    def found(self, policy: str, index: BlindIndex) -> list[tuple[bool, set[int]]]:
        """Of every text whether the user supplied it, and the numbers of the items in it. Raises `UnreadError`."""
        if self._read is None:
            self._read = [(part.role != "assistant", self._words([part.text])) for part in self._parts]
        return [(supplied, _found(index, words)) for supplied, words in self._read]


def _found(index: BlindIndex, views: Iterable[_Words]) -> set[int]:
    return {number for view in views for number in index.find(view.words, loose=view.loose)}


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
