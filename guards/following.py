"""An answer that is read while it comes, and the part of it that may leave.

Held back are the last words, as many as the longest spelling of any value has, letters written apart counted as words,
32 at most. The number is fixed for all answers: a guard that held text only where a value may begin would show by the
pauses how the values begin. A value of so many words or fewer is therefore read before its first word leaves.

What is found adds up over the whole answer, so subject and value need not stand close together. Where a value stands
before its subject, the value may have left when the subject comes: then the subject does not leave, and a client sees a
value of nobody. Not caught before it has left, only at the end if at all, is what must be read in one piece: a code or
letters written apart that run over more words than are held, and a spelling of more than 32 words.
"""

from __future__ import annotations

from collections.abc import Sequence

from guards.border import border
from guards.finding import Finding
from guards.judging import Judging
from guards.verdict import TextPart
from guards.wording import UnreadError, Wording, counted

LINE = 64
"""Characters after the last white space from which on it is no word that is still growing, but a script or code
without spaces, which is read as far as it has come."""
ALONG = 8
"""Words before the held ones that are read along with them: they say what is a code, and in which."""
STRIDE, MOST = 1024, 8192
"""Characters of a piece that are read at once; and those that are read again with every piece at most: an answer with
too few words in them is held to its end."""


class Following:
    """Follows one answer. Not thread-safe: one call at a time.

    `safe` is the number of characters that may leave if nothing was found, as far as the answer was read.
    """

    def __init__(self, judging: Judging, asked: Sequence[TextPart], wording: Wording, hold: int) -> None:
        self._judging, self._asked, self._wording, self._hold = judging, asked, wording, hold
        self._told: dict[str, set[int]] = {}
        self._text, self._start = "", 0  # what is read again with every piece, and where in the answer it begins
        self._lost = False
        self.safe = 0

    def read(self, piece: str) -> list[Finding]:
        """Read the next piece of the answer; what is found of the policies in all that has come so far.

        A word that is still growing is left for the next piece. From a text on that cannot be read in full nothing
        more becomes safe; whoever follows reads the whole answer at its end.
        """
        for start in range(0, len(piece), STRIDE):
            self._text += piece[start : start + STRIDE]
            self._lost = self._lost or len(self._text) > MOST
            if self._lost:
                break
            try:
                self._look(self._text[: _grown(self._text)])
            except UnreadError:
                self._lost = True
        return self._judging.findings(lambda policy, _: self._told.get(policy, set()))

    def _look(self, text: str) -> None:
        words, starts = self._wording.read(text)
        crossing = border(self._asked, [text], self._wording) if self._start == 0 else None
        for policy, index in self._judging.indices.items():
            told = self._told.setdefault(policy, set())
            told.update(counted(index, words), crossing.crossed(index) if crossing else ())
        if len(starts) >= self._hold:
            self.safe = self._start + starts[-self._hold]
        if len(starts) > self._hold + ALONG:
            start = starts[-self._hold - ALONG]
            self._start, self._text = self._start + start, self._text[start:]


def _grown(text: str) -> int:
    """Characters of a text without the word at its end."""
    at = len(text)
    while at and not text[at - 1].isspace():
        at -= 1
        if len(text) - at > LINE:
            return len(text)
    return at
