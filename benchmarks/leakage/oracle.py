"""Guards for the two limits of the benchmark: one that flags everything, one that flags nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.lifecycle import Scanner
from guards.verdict import Span, TextPart, Verdict


class Always:
    """Flags every request: the method without the guard's misses.

    Where the real guard flags a request, its spans are kept, so that names are masked; where it does not, all texts of
    the request are flagged whole.
    """

    def __init__(self, real: Scanner) -> None:
        self.real = real

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        """One verdict per policy, each of them flagged."""
        whole = tuple(Span(i, 0, len(part.text)) for i, part in enumerate(parts) if part.text)
        return [
            verdict if verdict.flagged else verdict._replace(flagged=True, source="classifier", windows=whole)
            for verdict in self.real.scan(parts, policies)
        ]


class Never:
    """Flags nothing: what leaks when the guard is off."""

    def __init__(self, real: Scanner) -> None:
        self.real = real

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        """One verdict per policy, none of them flagged."""
        return [
            verdict._replace(flagged=False, source="none", entities=(), windows=(), described=())
            for verdict in self.real.scan(parts, policies)
        ]
