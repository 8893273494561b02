"""The front of the engine: one ASGI class inside vLLM's API process, `--middleware steering.engine.vllm.front.Front`.

It is the outermost middleware. Everything but `/health` must be signed by the gateway (`steering.fence`). It serves
`/lethe/v1/*`, and answers 503 until every rank has confirmed its edit sites.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from steering.engine.mask import MaskError, TemplateError
from steering.engine.order import OrderError, take_order
from steering.engine.prompts import find_prompts
from steering.engine.vllm.admission import Admission
from steering.engine.vllm.canary import run_canary
from steering.engine.vllm.held import Abort, HeldResponse
from steering.engine.vllm.marking import mark_chat
from steering.engine.vllm.programs import Programs
from steering.engine.vllm.ticket import CURRENT, Refusal, Ticket
from steering.fence import AUTH_HEADER, Fence
from steering.plan import LETHE_ROUTES
from steering.weights import fingerprint

INNER = {lethe: bare for bare, lethe in LETHE_ROUTES.items()}
MAX_BODY, MAX_PROGRAM = 64 << 20, 512 << 20


class Front:
    """See the module. State is per API process."""

    def __init__(self, app: Any) -> None:
        key = os.environ.get("LETHE_ENGINE_KEY", "")
        if not key:
            raise RuntimeError("LETHE_ENGINE_KEY is not set; `lethe keygen` prints a fresh one for gateway and engine")
        self.app, self.fence = app, Fence(key.encode())
        self.lock = asyncio.Lock()
        self.admission: Admission | None = None
        self.programs: Programs | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            if scope["path"] == "/health":
                await self._ready(scope["app"].state)
                await self.app(scope, receive, send)
                return
            body = await _read(receive, MAX_PROGRAM if scope["method"] == "PUT" else MAX_BODY)
            nonce = self._check(scope, body)
            programs, admission = await self._ready(scope["app"].state)
            if scope["path"].startswith("/lethe/"):
                await self._own(scope, body, nonce, receive, send, programs, admission)
            else:
                await self.app(scope, _replay(body, receive), send)
        except Refusal as refusal:
            await _reply(send, refusal.status, refusal.body())

    def _check(self, scope: Any, body: bytes) -> str:
        given = next((v for k, v in scope["headers"] if k == AUTH_HEADER.encode()), b"").decode("latin-1")
        target = (scope.get("raw_path") or scope["path"].encode()).split(b"?")[0]
        if scope.get("query_string"):
            target += b"?" + scope["query_string"]
        nonce = self.fence.check(given, scope["method"], target, body)
        if nonce is None:
            raise Refusal(401, "this engine answers its gateway only: send requests to the gateway", "unauthorized")
        return nonce

    async def _ready(self, state: Any) -> tuple[Programs, Admission]:
        """Confirm all ranks once, then hook the engine client. Raises `Refusal` 503."""
        if self.programs is None or self.admission is None:
            client = getattr(state, "engine_client", None)
            if client is None:
                raise Refusal(503, "the engine is starting", "lethe_not_ready")
            async with self.lock:
                if self.programs is None or self.admission is None:
                    programs = Programs(client, await asyncio.to_thread(_served_model, client.vllm_config.model_config))
                    await programs.refresh()
                    self.programs, self.admission = programs, Admission(client)
        return self.programs, self.admission

    async def _own(
        self, scope: Any, body: bytes, nonce: str, receive: Any, send: Any, programs: Programs, admission: Admission
    ) -> None:
        method, path = scope["method"], scope["path"]
        name = path.removeprefix("/lethe/v1/programs/")
        match method, path:
            case "POST", "/lethe/v1/chat/completions" | "/lethe/v1/completions":
                await self._infer(scope, body, nonce, receive, send, programs, admission)
            case "GET", "/lethe/v1/programs":
                await programs.refresh()
                await _reply(send, 200, programs.state())
            case "POST", "/lethe/v1/canary":
                program = str(_object(body).get("program"))
                config = programs.client.vllm_config.model_config
                generation = await programs.generation(program)
                result = await run_canary(admission.generate, program, generation, config)
                failed = [check for check, passed in result["checks"].items() if not passed]
                if failed:
                    raise Refusal(503, f"canary of {program} failed: {', '.join(failed)}", "lethe_canary")
                await _reply(send, 200, result)
            case "PUT" | "DELETE" | "GET", _ if name != path:
                async with self.lock:
                    if method == "PUT":
                        status, reply = await programs.put(name, body)
                    elif method == "DELETE":
                        status, reply = await programs.delete(name)
                    else:
                        await programs.generation(name)
                        status, reply = 200, {"program": name, **programs.loaded[name]}
                await _reply(send, status, reply)
            case _:
                raise Refusal(404, "no such route", "not_found")

    async def _infer(
        self, scope: Any, body: bytes, nonce: str, receive: Any, send: Any, programs: Programs, admission: Admission
    ) -> None:
        """Serve a flagged request through vLLM's own handler, under a ticket."""
        target = INNER[scope["path"]]
        try:
            plain, order = take_order(_object(body))
            chat = target.endswith("chat/completions")
            if not chat:
                prompts = find_prompts(plain.get("prompt"), order)
            else:
                try:
                    prompts = await mark_chat(scope["app"].state, plain, order)
                except TemplateError:
                    # An error here would tell the client that the request was flagged: everything is masked instead.
                    order = order.whole()
                    prompts = await mark_chat(scope["app"].state, plain, order)
        except MaskError as error:
            raise Refusal(422, str(error), "lethe_mask") from error
        except (OrderError, ValueError, TypeError, KeyError) as error:
            raise Refusal(400, str(error)) from error
        generation = await programs.generation(order.program)
        ended = chat and not plain.get("continue_final_message")
        ticket = Ticket(nonce, order, generation, prompts, int(plain.get("n") or 1), ended)
        payload = json.dumps({**plain, "return_token_offsets": True}).encode()
        headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", AUTH_HEADER.encode())]
        headers.append((b"content-length", str(len(payload)).encode()))
        inner = {**scope, "path": target, "raw_path": target.encode(), "headers": headers}
        token = CURRENT.set(ticket)
        response = HeldResponse(ticket, send, self.fence.key)
        try:
            await self.app(inner, _replay(payload, receive), response)
        except Abort:
            pass  # the refusal is on the ticket
        except ValueError:
            if ticket.refusal is None:
                raise
        finally:
            CURRENT.reset(token)
            admission.forget(ticket)
        if ticket.refusal is not None:
            if ticket.refusal.code == "lethe_attestation":
                programs.loaded = {}  # perhaps stale: the next request asks the workers again
            if not response.open:
                raise ticket.refusal


def _served_model(config: Any) -> Any:
    """Fingerprint of the model that vLLM serves; reads the weight files once."""
    folder = Path(config.model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - a dependency of vLLM, only for hub models

        folder = Path(snapshot_download(config.model, revision=config.revision, local_files_only=True))
    return fingerprint(folder, str(config.dtype), config.quantization)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refusal(400, f"malformed JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "the body must be a JSON object")
    return value


async def _read(receive: Any, most: int) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client left")
        chunks.append(message.get("body", b""))
        total += len(chunks[-1])
        if total > most:
            raise Refusal(413, f"the body is larger than {most} bytes")
        if not message.get("more_body"):
            return b"".join(chunks)


def _replay(body: bytes, receive: Any) -> Any:
    sent = False

    async def replay() -> Any:
        nonlocal sent
        if sent:
            return await receive()  # disconnects still arrive
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _reply(send: Any, status: int, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
