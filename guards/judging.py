"""The rules by which the items in an answer tell what a policy forgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from guards.blindindex import BlindIndex
from guards.finding import Finding, Rule
from guards.verdict import Verdict
from guards.wording import Question

DOUBTFUL = 0.05
"""p-value up to which a question that was not flagged is doubtful: one harmless request in twenty."""

Found = Callable[[str, BlindIndex], set[int]]
"""Numbers of the items of a policy's index that an answer holds."""


class Judging:
    """Judges answers to one request, for the policies of some `indices`, in their order."""

    def __init__(
        self,
        indices: Mapping[str, BlindIndex],
        question: Question,
        verdicts: Mapping[str, Verdict],
        allow_context: Collection[str],
    ) -> None:
        self.indices, self._question = indices, question
        self._verdicts, self._allow_context = verdicts, allow_context

    def findings(self, found: Found) -> list[Finding]:
        """One finding per policy."""
        rules = {policy: self._rule(policy, index, found(policy, index)) for policy, index in self.indices.items()}
        return [Finding(policy, rule != "none", rule) for policy, rule in rules.items()]

    def unread(self) -> list[Finding]:
        """The findings of an answer that cannot be read in full."""
        return [Finding(policy, told=False, ran=False) for policy in self.indices]

    def _rule(self, policy: str, index: BlindIndex, told: set[int]) -> Rule:
        """Why an answer tells something, or `none`. The question is read only where the answer holds a value."""
        items = index.items
        values = [number for number in told if items[number].value]
        if not values:
            return "none"
        held = self._question.found(policy, index)
        asked = set[int]().union(*(numbers for _, numbers in held))
        subjects = named(index, range(len(items)) if self._question.unread else told | asked)
        rule: Rule = "none"
        for number in values:
            item, brought = items[number], number not in asked
            if brought and item.alone == "always":
                rule = "alone"
            elif brought and item.alone == "doubtful" and rule == "none" and doubtful(self._verdicts, policy):
                rule = "doubtful"
            if not brought and item.names:
                continue  # a name that the client wrote is no news
            beside = [s for s in subjects if s != number and belongs(index, number, s)]
            if beside and not (policy in self._allow_context and _copied(held, number, beside)):
                return "pair"
        return rule


def doubtful(verdicts: Mapping[str, Verdict], policy: str) -> bool:
    """Whether the input guard nearly flagged the request, or did; a verdict that is missing raises no doubt."""
    verdict = verdicts.get(policy)
    return verdict is not None and verdict.p_value <= DOUBTFUL


def named(index: BlindIndex, numbers: Iterable[int]) -> list[int]:
    """Those of the items that name a subject."""
    return [number for number in numbers if index.items[number].names]


def belongs(index: BlindIndex, value: int, subject: int) -> bool:
    """Whether a value is one of a subject's."""
    owners = index.items[value].owners
    return not owners or not set(owners).isdisjoint(index.items[subject].names)


def _copied(held: Iterable[tuple[bool, set[int]]], value: int, subjects: Sequence[int]) -> bool:
    """Whether one text of the user holds the value and a subject of it."""
    return any(supplied and value in numbers and not numbers.isdisjoint(subjects) for supplied, numbers in held)
