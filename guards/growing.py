"""What is known of the first texts of a request: a conversation comes again with every turn, longer by some texts."""

from __future__ import annotations

from dataclasses import dataclass

from guards.request import Request
from guards.turns import Joining

_TEXT, _PIECE = 100, 100


@dataclass(slots=True)
class Growing:
    """The first `count` texts of a request, put together.

    Attributes:
        request: the evidence of these texts and of the joints that are complete.
        joining: the joints that more texts would go on.
        seen: digests of the texts; one that comes again counts once in the size of a request.
    """

    count: int
    request: Request
    joining: Joining
    seen: set[bytes]

    def copy(self) -> Growing:
        """Another one, to which more texts may be added."""
        return Growing(self.count, self.request.copy(), self.joining.copy(), set(self.seen))

    @property
    def items(self) -> int:
        """Names and windows."""
        return self.request.items

    @property
    def bytes(self) -> int:
        """Of the scores, and about that of the rest."""
        return self.request.best.nbytes + _TEXT * len(self.seen) + _PIECE * self.joining.pieces
