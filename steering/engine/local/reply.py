"""Bodies of answers, whole and in chunks, in the shape of the OpenAI API as vLLM serves it."""

from __future__ import annotations

import time
import uuid
from typing import Any

from steering.engine.local.generate import Delta, Token
from steering.engine.local.model import LocalModel
from steering.engine.local.request import Job

LOWEST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have; the value is vLLM's."""


def error_body(message: str, kind: str, param: str | None, status: int) -> dict[str, Any]:
    """An OpenAI error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


class Reply:
    """Turns the deltas of one request into its answer."""

    def __init__(self, job: Job, model: LocalModel) -> None:
        self.job, self.model = job, model
        self.id = f"{'chatcmpl' if job.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.created = int(time.time())
        count = job.n * len(job.prompts)
        self.tokens = 0
        self._texts: list[list[str]] = [[] for _ in range(count)]
        self._logprobs: list[dict[str, list[Any]]] = [self._collect(()) for _ in range(count)]
        self._ends: list[Delta | None] = [None] * count
        self._offsets = [0] * count

    def add(self, delta: Delta) -> dict[str, Any] | None:
        """Take in one step; return the chunk of a stream, or None where there is nothing to say yet."""
        self.tokens += 1
        self._texts[delta.choice].append(delta.text)
        if delta.finish is not None:
            self._ends[delta.choice] = delta
        logprobs = None
        if self.job.sampling.logprobs is not None:
            logprobs = self._collect((delta.token,), delta.choice)
            for name, values in logprobs.items():
                self._logprobs[delta.choice][name] += values
        if not delta.text and logprobs is None and delta.finish is None:
            return None
        text = {"delta": {"content": delta.text}} if self.job.chat else {"text": delta.text}
        end = {"finish_reason": delta.finish, "stop_reason": delta.stop_reason}
        return self._chunk([{"index": delta.choice, **text, "logprobs": logprobs, **end}])

    def opening(self) -> list[dict[str, Any]]:
        """Chunks that come before the first token: one per choice of a chat."""
        if not self.job.chat:
            return []
        head = {"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return [self._chunk([{"index": i, **head}]) for i in range(len(self._texts))]

    def usage_chunk(self) -> dict[str, Any]:
        """Last chunk of a stream with `include_usage`."""
        return {**self._chunk([]), "usage": self._usage()}

    def whole(self) -> dict[str, Any]:
        """The answer of a request that was not streamed."""
        choices = []
        for i, (pieces, end) in enumerate(zip(self._texts, self._ends, strict=True)):
            text = "".join(pieces)
            body: dict[str, Any] = {"text": text}
            if self.job.chat:
                empty = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
                body = {"message": {"role": "assistant", "content": text, **empty}}
            logprobs = self._logprobs[i] if self.job.sampling.logprobs is not None else None
            reason = {"finish_reason": end and end.finish, "stop_reason": end and end.stop_reason}
            choices.append({"index": i, **body, "logprobs": logprobs, **reason})
        kind = "chat.completion" if self.job.chat else "text_completion"
        extra = {"service_tier": None, "system_fingerprint": None, "usage": self._usage()}
        return {**self._chunk(choices), "object": kind, **extra}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.job.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model.name, "choices": choices}

    def _usage(self) -> dict[str, Any]:
        prompt = sum(map(len, self.job.prompts))
        total = prompt + self.tokens
        counts = {"prompt_tokens": prompt, "total_tokens": total, "completion_tokens": self.tokens}
        return {**counts, "prompt_tokens_details": None}

    def _collect(self, tokens: tuple[Token, ...], choice: int = 0) -> dict[str, list[Any]]:
        """Log-probabilities of some tokens in the shape of the route."""
        if self.job.chat:
            content = [
                {**self._entry(t.id, t.logprob), "top_logprobs": [self._entry(*alternative) for alternative in t.top]}
                for t in tokens
            ]
            return {"content": content}
        out: dict[str, list[Any]] = {"text_offset": [], "token_logprobs": [], "tokens": [], "top_logprobs": []}
        for t in tokens:
            text = self._string(t.id)
            best = {self._string(i): max(value, LOWEST_LOGPROB) for i, value in t.top}
            value = max(t.logprob or 0.0, LOWEST_LOGPROB)
            out["text_offset"].append(self._offsets[choice])
            out["token_logprobs"].append(value)
            out["tokens"].append(text)
            out["top_logprobs"].append({**best, text: value})
            self._offsets[choice] += len(text)
        return out

    def _entry(self, token: int, logprob: float | None) -> dict[str, Any]:
        text = self._string(token)
        return {"token": text, "logprob": max(logprob or 0.0, LOWEST_LOGPROB), "bytes": list(text.encode())}

    def _string(self, token: int) -> str:
        text: str = self.model.tokenizer.decode([token])
        return text
