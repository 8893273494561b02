"""A plain stream that leaves as far as it was looked at, and is taken up again where it begins to tell."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Literal

from gateway.carrying import Stop
from gateway.decision import Decision, Intervene, Pass, Refuse
from gateway.errors import UpstreamFailedError
from gateway.frame import Frame, FrameReader
from gateway.holding import Holding
from gateway.joining import Joining
from gateway.refusal import TEXT
from gateway.stream import Frames, split
from gateway.upstream import Reply
from gateway.watch import Watch
from gateway.withheld import Withheld

STEP = 96
"""Characters of new text after which the guard looks again, however they came: some sixteen words."""

MAX_BYTES = 64 * 1024 * 1024
"""Largest stream that is followed, both halves together: a quarter of a million tokens. Its bytes are kept for the last
look."""

Again = Callable[[Intervene, str], Awaitable[Reply | Stop]]
"""Asks for the rest of an answer of which a part has left."""
Refused = Callable[[Refuse], bytes]
"""The whole stream of an answer that is not given; raises `LetheError` where a guard failed."""
Measured = Callable[[str], Awaitable[tuple[int, int] | None]]
"""Tokens of the prompt, and of a text as its answer; None where the client asked for no usage."""
Noted = Callable[[Decision], None]


class WatchedStream:
    """A stream in the shape of a reply, so that it is relayed like one.

    Text leaves when the guard has read so far beyond it that no value can begin in it (`guards.following`), and once
    more the whole answer is looked at before its last words leave. What tells something is dropped with the words
    before it that have not left; the answer is asked for again, once, with what has left as the beginning that is gone
    on with. If the second half tells something too, a refusal ends the stream; if what has left is all that the
    client's limit allows, it ends there. The client sees one stream: one id, one beginning, one usage.
    """

    def __init__(
        self,
        reply: Reply,
        watch: Watch,
        *,
        again: Again,
        refused: Refused,
        measured: Measured,
        noted: Noted,
    ) -> None:
        self._reply, self._watch = reply, watch
        self._content_type = reply.content_type
        self._again, self._refused, self._measured, self._noted = again, refused, measured, noted
        self._holding, self._joining, self._reader = Holding(), Joining(b"", b"", None), FrameReader()
        self._size = 0
        self._done: Decision = watch.judged.decision  # under which the half that is read was made
        self._decision: Decision = Pass()  # what was decided about it

    @property
    def content_type(self) -> str:
        """That of the first half."""
        return self._content_type

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The stream as it may leave. Raises `LetheError`."""
        for second in (False, True):
            async with aclosing(self._half()) as half:
                async for data in half:
                    yield data
            decision = self._decision
            if second and isinstance(decision, Intervene):  # the same treatment would give the same answer
                decision = Refuse("output", decision.outcomes)
            self._noted(decision)
            stop = await self._taken_up(decision) if isinstance(decision, Intervene) else None
            if stop == "spent":
                yield await self._ending("", "length")
                return
            if stop == "template":
                decision = Refuse("output", ())
                self._noted(decision)
            if isinstance(decision, Refuse):
                self._reply.close()
                yield await self._refusal(decision)
            if not isinstance(decision, Intervene):
                return

    def close(self) -> None:
        """Drop the connection, which makes the engine stop generating."""
        self._reply.close()

    async def _half(self) -> AsyncGenerator[bytes, None]:
        """What may leave of the reply; ends with it, or with a decision that is not to pass."""
        follower, read = self._watch.follow(), 0
        frames, holding = Frames(), self._holding
        async with aclosing(self._reply.pieces()) as pieces:
            async for piece in pieces:
                self._size += len(piece)
                if self._size > MAX_BYTES:
                    raise UpstreamFailedError("The engine's answer is too long.")
                going = b""
                for frame in self._taken(frames.feed(piece)):
                    holding.add(frame)
                    if holding.plain and holding.size >= read + STEP:
                        self._decision = await self._watch.told_so_far(follower, holding.since(read), self._done)
                        read = holding.size
                    if not isinstance(self._decision, Pass):
                        break
                    going += holding.release(follower.safe if follower else 0)
                if going:
                    yield going
                if not isinstance(self._decision, Pass):
                    return
        rest, complete = frames.finish()
        if not complete:
            raise UpstreamFailedError("The engine ended the answer too early.")
        for frame in self._taken(rest):
            holding.add(frame)
        whole = Withheld(holding.whole(), self.content_type, streamed=True)
        self._decision = await self._watch.told(whole, self._done)
        if isinstance(self._decision, Pass):
            yield holding.rest()

    def _taken(self, data: bytes) -> Iterator[Frame]:
        """Whole frames, as frames of the one stream that the client sees."""
        for part in split(data):
            frame = self._joining.joined(self._reader.read(part))
            if frame is not None:
                yield frame

    async def _taken_up(self, decision: Intervene) -> Stop | None:
        """Forget what was held, and ask for the rest of the answer; why it cannot be taken up, or None."""
        self._reply.close()
        self._holding.drop()
        said = self._holding.said
        reply = await self._again(decision, said)
        if not isinstance(reply, Reply):
            return reply
        self._reply, self._done, self._decision, self._reader = reply, decision, Pass(), FrameReader()
        lengths = await self._measured(said)
        self._joining = Joining(self._holding.first, self._holding.last, lengths[0] if lengths else None)
        return None

    async def _refusal(self, decision: Refuse) -> bytes:
        """How a stream ends that must not go on: like a refusal, behind what has left."""
        refusal = self._refused(decision)
        if not self._holding.first:
            return refusal
        return await self._ending(f" {TEXT}" if self._holding.said else TEXT, "stop")

    async def _ending(self, text: str, reason: Literal["stop", "length"]) -> bytes:
        """The end behind what has left, with a last piece of text."""
        prompt, tokens = await self._measured(self._holding.said + text) or (None, 0)
        return Joining(self._holding.first, self._holding.last, prompt).ending(text, reason, tokens)
