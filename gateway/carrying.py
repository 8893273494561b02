"""An answer that is taken up again where it stands: what was said becomes the beginning of a message to go on with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from gateway.decision import Intervene
from gateway.errors import LetheError, UpstreamFailedError
from gateway.masking import DOSE
from gateway.plain import LIMITS
from gateway.sanitize import Sanitised
from gateway.upstream import Upstream, json_object
from steering.plan import MAX_WINDOWS, Intervention

ASKED = [{"role": "user", "content": "How are you today?"}]
SAID = "Well, thank you. It is"
"""A conversation on which a template is tried."""
TRIAL, PAUSE = 2.0, 60.0
"""Seconds that a request waits for that, and after which an engine that did not say is asked again."""
AROUND = 16
"""Tokens that are read on both sides of a difference, so that a character of several tokens is whole."""

Stop = Literal["template", "spent"]
"""Why an answer is not gone on with: its template does not allow it, or nothing is left of the client's limit."""


def continued(body: Mapping[str, Any], said: str) -> dict[str, Any]:
    """A plain body that asks to go on with what was said."""
    messages = [*body["messages"], {"role": "assistant", "content": said}]
    return {**body, "messages": messages, "add_generation_prompt": False, "continue_final_message": True}


def over_said(decision: Intervene, body: Mapping[str, Any], said: str) -> Intervene:
    """The intervention over what was said as well: uncorrupted it would tell the model what it was about to say."""
    before = decision.intervention
    windows = {**before.windows, f"/messages/{len(body['messages'])}/content": [(0, len(said))]}
    if before.mask == "prompt" or sum(map(len, windows.values())) > MAX_WINDOWS:
        return Intervene(Intervention(before.program, DOSE, "prompt", {}), decision.outcomes)
    return Intervene(Intervention(before.program, DOSE, before.mask, windows), decision.outcomes)


class Carrying:
    """Knows whether, and at what length, answers can be taken up again."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._able: dict[tuple[str, str | None], bool] = {}
        self._silent: dict[tuple[str, str | None], float] = {}

    async def able(self, model: str, boot: str | None) -> bool:
        """Whether the chat template of a model lets answers be taken up again.

        Asked once for every start of the engine (`boot`). An engine that does not say within TRIAL counts as "no", and
        is asked again after PAUSE.
        """
        key, clock = (model, boot), asyncio.get_running_loop().time
        if key in self._able:
            return self._able[key]
        if clock() < self._silent.get(key, 0.0):
            return False
        body = {"model": model, "messages": ASKED}
        self._able = {known: able for known, able in self._able.items() if known[1] == boot}
        self._silent = {known: until for known, until in self._silent.items() if known[1] == boot}
        try:
            async with asyncio.timeout(TRIAL):
                self._able[key] = await self.taking_up(Sanitised(body, "")).rest(SAID) != "template"
        except (LetheError, TimeoutError):
            self._silent[key] = clock() + PAUSE
            return False
        return self._able[key]

    def taking_up(self, asked: Sanitised) -> TakingUp:
        """The answer to one plain request, of which a part has left."""
        return TakingUp(self._upstream, asked)


class TakingUp:
    """Counts one answer, and asks for its rest. What the engine said about prompt and answer is asked once."""

    def __init__(self, upstream: Upstream, asked: Sanitised) -> None:
        self._upstream, self._asked = upstream, asked
        self._prompt: list[int] | None = None
        self._counted: tuple[str, int] = "", 0

    async def lengths(self, said: str) -> tuple[int, int]:
        """Tokens of the prompt, and of what was said after it. Raises `LetheError`."""
        if self._counted[0] == said:
            return len(await self._before()), self._counted[1]
        before, after = await self._both(said)
        return len(before), max(0, len(after) - len(before))

    async def rest(self, said: str) -> Sanitised | Stop:
        """The request for the rest of an answer, with what its limits leave.

        The template is tried once more on this very answer: the prompt with what was said must be the same text as the
        prompt and it after it. Compared are the texts from a few tokens before the first that differs. Raises
        `LetheError`.
        """
        before, after = await self._both(said)
        same = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        start = max(0, min(same, len(after)) - AROUND)
        ends = (self._upstream.detokenize(self._asked.model, tokens[start:]) for tokens in (before, after))
        without, with_said = await asyncio.gather(*ends)
        if without + said != with_said:
            return "template"
        used, body = max(0, len(after) - len(before)), self._asked.body
        limits = {name: body[name] for name in LIMITS if body.get(name) is not None}
        self._counted = said, min([used, *limits.values()])
        if any(limit <= used for limit in limits.values()):
            return "spent"
        left = {name: limit - used for name, limit in limits.items()}
        return Sanitised({**continued(body, said), **left}, self._asked.client_salt)

    async def _both(self, said: str) -> tuple[list[int], list[int]]:
        return await asyncio.gather(self._before(), self._tokens(said))

    async def _before(self) -> list[int]:
        if self._prompt is None:
            self._prompt = await self._tokens("")
        return self._prompt

    async def _tokens(self, said: str) -> list[int]:
        """Token ids of the rendered conversation, with the beginning of an answer where there is one."""
        body = self._asked.body
        ask: dict[str, Any] = {"model": body["model"], "messages": body["messages"], "add_generation_prompt": True}
        if said:
            ask = continued(ask, said)
        status, data = await self._upstream.call("POST", "/tokenize", orjson.dumps(ask))
        tokens = json_object(data).get("tokens")
        if status != 200 or not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise UpstreamFailedError("The engine did not say how long a prompt is.")
        return tokens
