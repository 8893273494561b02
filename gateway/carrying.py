"""An answer that is taken up again where it stands: what was said becomes the beginning of a message to go on with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.decision import DOSE, Intervene
from gateway.errors import LetheError, UpstreamFailedError
from gateway.plain import LIMITS
from gateway.sanitize import Sanitised
from gateway.upstream import Upstream, json_object
from steering.plan import MAX_WINDOWS, Intervention

ASKED = [{"role": "user", "content": "How are you today?"}]
SAID = "Well, thank you. It is"
"""A conversation on which a template is tried."""


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
    """Asks the engine whether, and at what length, answers can be taken up again."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._able: dict[tuple[str, str | None], bool] = {}

    async def able(self, model: str, boot: str | None) -> bool:
        """Whether the chat template of a model lets answers be taken up again.

        Asked once for every start of the engine (`boot`); an engine that does not say counts as "no" and is asked
        again.
        """
        key = model, boot
        if key not in self._able:
            try:
                carried = await self._carried({"model": model, "messages": ASKED}, SAID)
            except LetheError:
                return False
            self._able = {known: able for known, able in self._able.items() if known[1] == boot}
            self._able[key] = carried is not None
        return self._able[key]

    async def lengths(self, body: Mapping[str, Any], said: str) -> tuple[int, int]:
        """Tokens of the prompt of a plain body, and of what was said after it. Raises `LetheError`."""
        before, after = await self._both(body, said)
        return len(before), max(0, len(after) - len(before))

    async def rest(self, asked: Sanitised, said: str) -> Sanitised | None:
        """The request for the rest of an answer, with what its limits leave; None where it cannot be taken up.

        The template is tried once more on this very answer. Raises `LetheError`.
        """
        used = await self._carried(asked.body, said)
        if used is None:
            return None
        body = continued(asked.body, said)
        left = {name: max(1, body[name] - used) for name in LIMITS if body.get(name) is not None}
        return Sanitised({**body, **left}, asked.client_salt)

    async def _carried(self, body: Mapping[str, Any], said: str) -> int | None:
        """Tokens of what was said, if a prompt with it is the same text as that prompt and it after it."""
        before, after = await self._both(body, said)
        texts = [await self._upstream.detokenize(body["model"], tokens) for tokens in (before, after)]
        return max(0, len(after) - len(before)) if texts[0] + said == texts[1] else None

    async def _both(self, body: Mapping[str, Any], said: str) -> tuple[list[int], list[int]]:
        model, messages = body["model"], body["messages"]
        return await asyncio.gather(self._tokens(model, messages, ""), self._tokens(model, messages, said))

    async def _tokens(self, model: str, messages: list[Any], said: str) -> list[int]:
        """Token ids of a rendered conversation, with the beginning of an answer where there is one."""
        ask: dict[str, Any] = {"model": model, "messages": messages, "add_generation_prompt": True}
        body = continued(ask, said) if said else ask
        status, data = await self._upstream.call("POST", "/tokenize", orjson.dumps(body))
        tokens = json_object(data).get("tokens")
        if status != 200 or not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise UpstreamFailedError("The engine did not say how long a prompt is.")
        return tokens
