"""A fast canned engine for measuring the gateway: fixed answers, the routes of `/lethe/v1/*`, no model.

    python -m benchmarks.stub PORT MODEL.json

MODEL.json holds the fingerprint it reports, so that bundles made for the benchmark fit.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import httptools
import uvloop

from steering.fence import ATTESTATION_HEADER, attest

KEY = b"the key of the overhead benchmark"
ANSWER = json.dumps(
    {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "token " * 64}}],
        "usage": {"prompt_tokens": 16, "completion_tokens": 64, "total_tokens": 80},
    }
).encode()
MODELS = json.dumps(
    {"object": "list", "data": [{"id": "stub", "object": "model", "created": 1, "owned_by": "x"}]}
).encode()


class Connection(asyncio.Protocol):
    """One connection; answers as soon as a request is complete."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def connection_made(self, transport: Any) -> None:
        """Start a parser."""
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Reset."""
        self.url, self.body, self.auth = b"", b"", b""

    def on_url(self, url: bytes) -> None:
        """Part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Only the signature matters."""
        if name.lower() == b"x-lethe-auth":
            self.auth = value

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self.body += body

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        extra = b""
        if b"/lethe/v1/programs" in self.url:
            if self.parser.get_method() == b"PUT":
                name = self.url.rsplit(b"/", 1)[1].decode()
                digest = hashlib.sha256(self.body).hexdigest()
                self.state["programs"][name] = {"digest": digest, "generation": 1}
            answer = json.dumps(self.state).encode()
        elif b"/lethe/v1/canary" in self.url:
            answer = b'{"ok": true}'
        elif b"/lethe/" in self.url:
            program, nonce = json.loads(self.body)["lethe"]["program"], self.auth.split(b".")[1].decode()
            claims = {
                "nonce": nonce,
                "program": program,
                "boot": "stub",
                "table": 0,
                "masked": 1,
                "edited": [1],
                "cached": [0],
            }
            extra = f"{ATTESTATION_HEADER}: {attest(KEY, claims)}\r\n".encode()
            answer = ANSWER
        else:
            answer = ANSWER if b"/completions" in self.url else MODELS
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n" % (
            extra,
            len(answer),
        )
        self.transport.write(head + answer)


async def serve(port: int, model: dict[str, Any]) -> None:
    """Serve for ever."""
    state: dict[str, Any] = {"ready": True, "boot": "stub", "table": 0, "model": model, "programs": {}}
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))))
