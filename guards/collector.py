"""The texts of a request, read and weighed, as one `Request`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from guards.encoder import Floats
from guards.evidence import Evidence, Models, text_size
from guards.growing import Growing
from guards.memory import Memory
from guards.nameless import Nameless
from guards.normalize import Bools
from guards.reading import Reader
from guards.request import Request
from guards.turns import Joining, Joint, apart, unread
from guards.verdict import TextPart

NAMES_ONLY = frozenset({"tool_definition"})
"""Roles whose texts the linear models of policies with granularity entity do not read: keys and fragments."""
SHORT, LONGER = 8, 8
"""A request of up to SHORT texts is put together anew; a longer one goes on from one that was up to LONGER shorter."""


class Collector:
    """Reads and weighs texts for all policies; remembers those that it weighed last. Thread-safe."""

    def __init__(self, models: Models, reader: Reader, floors: Floats | None = None) -> None:
        """Windows with a score of at least `floors`, `[policies]`, may become a verdict; by default none."""
        count = len(models.bias)
        self._models, self._reader = models, reader
        self._floors = np.full(count, np.inf, np.float32) if floors is None else floors
        self._facts: Bools = np.array(models.facts, bool)
        self._memory = Memory[Evidence]()
        self._begun = Memory[Growing]()

    def collect(self, parts: Sequence[TextPart]) -> Request:
        """Everything that is known of the texts of a request."""
        together = unread(parts)
        without = apart(parts, together)
        keeps = len(parts) > SHORT and not together and not without
        begun = self._begun.beginnings(parts, LONGER) if keeps else []
        growing = next((known.copy() for _, digest in begun if (known := self._begun.get(digest))), None)
        if growing is None:
            growing = Growing(0, Request(len(self._facts), self._facts), Joining(together), set())
        if growing.count < len(parts):
            for number in range(growing.count, len(parts)):
                self._add(growing, parts, number, together, joined=number not in without)
            growing.count = len(parts)
            if begun:
                self._begun.keep(begun[0][1], growing.copy())
        for joint in growing.joining.rest(parts):
            growing.request.add_joint(joint, self._joint_evidence(joint))
        return growing.request

    def _add(
        self, growing: Growing, parts: Sequence[TextPart], number: int, together: Collection[int], *, joined: bool
    ) -> None:
        """Add text `number`, and the joints that are complete with it."""
        part, request = parts[number], growing.request
        digest = self._memory.digest(part.text)
        classify = part.role not in NAMES_ONLY
        if number not in together:
            evidence = self._evidence(part.text, digest)
            request.add(number, evidence, classify=classify)
            if digest not in growing.seen and (classify or self._facts.any()):
                request.size += evidence.size
        elif digest not in growing.seen:
            request.size += text_size(1)
        growing.seen.add(digest)
        for joint in growing.joining.add(parts, number) if joined else ():
            request.add_joint(joint, self._joint_evidence(joint))

    def weighed(self, parts: Sequence[TextPart]) -> Request:
        """The same, but policies about facts weigh the texts without their names, on which their models were fitted."""
        request = self.collect(parts)
        nameless = Nameless.of(parts, request, self._models, self._reader)
        again = self.collect(nameless.parts) if nameless.policies else request
        for policy in nameless.policies:
            best, hits = again.best[policy], again.hits.get(policy, [])
            request.best[policy] = max(request.best[policy], best) if nameless.coded else best
            request.hits[policy] = [*request.hits.get(policy, ()), *hits] if nameless.coded else hits
        return request

    def _evidence(self, text: str, digest: bytes) -> Evidence:
        known = self._memory.get(digest)
        if known is None:
            known = self._models.weigh(self._reader.read(text), self._floors)
            self._memory.keep(digest, known)
        return known

    def _joint_evidence(self, joint: Joint) -> Evidence:
        digest = self._memory.digest(joint.text, f"{[p[0] for p in joint.pieces]} {joint.alone} {joint.glued}")
        known = self._memory.get(digest)
        if known is None:
            reading = self._reader.read(joint.text)
            new = joint.new(reading.starts, reading.ends)
            known = self._models.weigh(reading, self._floors, np.zeros_like(new) if joint.glued else new)
            self._memory.keep(digest, known)
        return known
