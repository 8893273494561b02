"""The guard of what leaves: says whether an answer tells what a policy forgets.

Descriptions and questions over two hops pass the input guard, because nothing in them names the subject. What is
forgotten is then in the answer: a value beside its subject, or a value that speaks for itself. Question and answer are
read in every view of `guards.views`; a policy's subjects and values are known by keyed digests only
(`guards.blindindex`). The rules are those of `guards.judging`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from guards import candidates
from guards.blindindex import BlindIndex
from guards.border import border
from guards.finding import Finding
from guards.following import Following
from guards.judging import Judging
from guards.verdict import TextPart, Verdict
from guards.wording import Question, UnreadError, Wording, counted

MOST_HELD = 32
"""Words of an answer that are held back at most while it is followed."""


class OutputGuard:
    """Scans answers for the values of all policies it was given. Thread-safe."""

    def __init__(self, indices: Mapping[str, BlindIndex], allow_context: Collection[str] = ()) -> None:
        """`indices` are by policy number.

        `allow_context`: policies that let an answer repeat what one text of the user says of a subject.
        """
        self.policies = tuple(sorted(indices))
        self._indices = dict(indices)
        self._allow_context = frozenset(allow_context)
        self._wording = Wording(indices.values())
        self._hold = min(MOST_HELD, max((index.longest for index in indices.values()), default=1))

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
        judging = self._judging(asked, verdicts, policies)
        try:
            said, crossing = self._wording.words(answer), border(asked, answer, self._wording)
        except UnreadError:
            return judging.unread()
        return judging.findings(lambda _, index: {*counted(index, said), *crossing.crossed(index)})

    def follow(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> Following:
        """Follow an answer of one text while it comes. Arguments as in `scan`; raises `KeyError` as well.

        The words that are held back are those of all policies of the guard, for every answer alike.
        """
        return Following(self._judging(asked, verdicts, policies), asked, self._wording, self._hold)

    def offered(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> list[str]:
        """Policies of which a request offers candidates to choose from; see `guards.candidates`."""
        return candidates.offered(asked, verdicts, self._chosen(policies), self._wording)

    def _chosen(self, policies: Collection[str]) -> dict[str, BlindIndex]:
        return {policy: self._indices[policy] for policy in sorted(set(policies))}

    def _judging(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> Judging:
        return Judging(self._chosen(policies), Question(asked, self._wording), verdicts, self._allow_context)
