"""Ask both sides through the official OpenAI client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steering.fence import AUTH_HEADER, sign

if TYPE_CHECKING:
    from openai import OpenAI

CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """One greedy answer. `steps` holds per token its text and the log-probabilities of the two best."""

    text: str
    request_id: str
    steps: tuple[tuple[str, tuple[float, ...]], ...]


def bare_client(port: int, key: bytes) -> OpenAI:
    """Client of the engine itself, past the gateway: it signs its requests as the gateway does."""
    from openai import DefaultHttpxClient, OpenAI  # noqa: PLC0415 - only the demonstration needs it

    def add_signature(request: Any) -> None:
        target = request.url.raw_path.decode()
        request.headers[AUTH_HEADER] = sign(key, request.method, target, request.content)[0]

    http = DefaultHttpxClient(event_hooks={"request": [add_signature]}, timeout=600)
    return OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="unused", http_client=http, max_retries=0)


def gateway_client(port: int, key: str) -> OpenAI:
    """Client of the gateway."""
    from openai import OpenAI  # noqa: PLC0415 - only the demonstration needs it

    return OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=600)


def ask_all(
    client: OpenAI, model: str, asked: Sequence[list[dict[str, str]]], max_tokens: int, done: Callable[[], None]
) -> list[Answer]:
    """Greedy answers to conversations, several at a time, in order. `done` is called after each."""

    def ask(messages: list[dict[str, str]]) -> Answer:
        raw = client.chat.completions.with_raw_response.create(
            model=model,
            messages=messages,  # type: ignore[arg-type]
            max_tokens=max_tokens,
            temperature=0.0,
            logprobs=True,
            top_logprobs=2,
        )
        completion: Any = raw.parse()
        choice = completion.choices[0]
        content = (choice.logprobs.content if choice.logprobs else None) or []
        steps = tuple((t.token, tuple(e.logprob for e in t.top_logprobs)) for t in content)
        done()
        return Answer(choice.message.content or "", raw.headers.get("x-request-id", ""), steps)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return list(pool.map(ask, asked))


def equal(a: Answer, b: Answer, gap: float = 1e-3) -> bool:
    """E2: the same tokens up to the first place, if any, where the two best were closer than `gap` nats."""
    for (x, best), (y, _) in zip(a.steps, b.steps, strict=False):
        if x != y:
            return len(best) > 1 and abs(best[0] - best[1]) < gap
    return a.text == b.text
