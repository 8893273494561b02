"""The embedded engine as an ASGI application: the HTTP shape of vLLM with the plug-in, for small models and tests.

Requests run one after the other on one worker thread. An answer to a flagged request starts after its prompt was run,
and carries the attestation of what was edited; what cannot be edited is an error, never an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from steering.activation import Activation
from steering.engine.local.body import RequestError
from steering.engine.local.gate import NONCE, FenceMiddleware
from steering.engine.local.generate import Delta, generate
from steering.engine.local.model import Edit, LocalModel
from steering.engine.local.programs import Loaded, Programs
from steering.engine.local.refusal import REFUSALS, JsonResponse, answer_to, refusal
from steering.engine.local.reply import Reply
from steering.engine.local.request import Job, check_model, parse_job, parse_tokenize
from steering.engine.local.residual import EngineFaultError
from steering.engine.local.run import ClientLeftError, EventStream, Run, Started, frames
from steering.engine.mask import size
from steering.engine.order import take_order
from steering.fence import ATTESTATION_HEADER, Fence, attest

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Edits = Sequence[Edit | None]
CANARY = "The quick brown fox jumps over the lazy dog."


class Engine:
    """Routes over one model. Holds the worker thread, so that it must be closed."""

    def __init__(self, model: LocalModel, key: bytes | None) -> None:
        self.model, self.key = model, key
        self.programs = Programs(model.fingerprint, model.layers, model.host)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="lethe-engine")

    # Inference.

    async def chat(self, request: Request) -> Response:
        """`/v1/chat/completions`."""
        return await self._infer(request, chat=True, flagged=False)

    async def complete(self, request: Request) -> Response:
        """`/v1/completions`."""
        return await self._infer(request, chat=False, flagged=False)

    async def flagged_chat(self, request: Request) -> Response:
        """`/lethe/v1/chat/completions`."""
        return await self._infer(request, chat=True, flagged=True)

    async def flagged_complete(self, request: Request) -> Response:
        """`/lethe/v1/completions`."""
        return await self._infer(request, chat=False, flagged=True)

    async def _infer(self, request: Request, *, chat: bool, flagged: bool) -> Response:
        body = await _json(request)
        if not flagged:
            return await self._start(request, parse_job(body, self.model, chat=chat), None, {})
        plain, order = take_order(body)
        loaded = self.programs.get(order.program)
        job = parse_job(plain, self.model, chat=chat, order=order)
        edits = [Edit(loaded.program, order.dose, spans) if spans else None for spans in job.spans]
        state = {"boot": self.programs.boot, "table": self.programs.version}
        claims = {"nonce": request.scope.get(NONCE), "program": order.program, **state}
        return await self._start(request, job, edits, claims)

    async def _start(self, request: Request, job: Job, edits: Edits | None, claims: dict[str, Any]) -> Response:
        """Run the first prompt, then answer. The first event says that it ran, or why it did not.

        `edits` has one entry per prompt of a flagged request, and is None for an unflagged one.
        """
        run = Run(self.worker, lambda cancelled: self._work(job, edits, cancelled), request.receive)
        try:
            edited = await run.first()
        except BaseException:
            run.close()
            raise
        headers = {}
        if edits is not None:
            masked = tuple(map(size, job.spans))
            if edited != masked or not any(masked):
                run.close()
                raise EngineFaultError(
                    f"{masked} tokens of the prompts were to be edited, {edited} were; the answer was withheld"
                )
            choices = [count for count in edited for _ in range(job.n)]
            record = {"masked": sum(masked), "edited": choices, "cached": [0] * len(choices)}
            if self.key is not None:
                headers[ATTESTATION_HEADER] = attest(self.key, {**claims, **record})
        reply = Reply(job, self.model)
        if job.stream:
            return EventStream(frames(run, reply), headers)
        try:
            async for delta in run:
                reply.add(delta)
        finally:
            run.close()
        return JsonResponse(reply.whole(), headers=headers)

    def _work(self, job: Job, edits: Edits | None, cancelled: Callable[[], bool]) -> Iterator[Started | Delta]:
        """On the worker thread: all prompts, one after the other.

        Those to be edited are embedded first, because the attestation of all of them goes out before the first answer.
        """
        early = {i: self.model.embed(job.prompts[i], edit) for i, edit in enumerate(edits or ()) if edit is not None}
        edited = tuple(early[i][1] if i in early else 0 for i in range(len(job.prompts)))
        for number, ids in enumerate(job.prompts):
            if cancelled():
                return
            state = self.model.prefill_embedded([early.pop(number) if number in early else self.model.embed(ids)])
            if number == 0:
                yield edited
            for delta in generate(state, ids, job.sampling, job.n, self.model.tokenizer, cancelled):
                yield replace(delta, choice=delta.choice + number * job.n)

    # Programs and proof.

    async def list_programs(self, _: Request) -> Response:
        """`GET /lethe/v1/programs`."""
        return JsonResponse(self.programs.listing())

    async def program(self, request: Request) -> Response:
        """`GET`, `PUT` and `DELETE /lethe/v1/programs/{id}`. Removal waits for the requests that came before it."""
        name: str = request.path_params["id"]
        if request.method == "PUT":
            loaded, new = self.programs.put(name, await request.body())
            return self._described(name, loaded, 201 if new else 200)
        if request.method == "DELETE":
            self.programs.get(name)
            await asyncio.get_running_loop().run_in_executor(self.worker, self.programs.remove, name)
            return JsonResponse({"program": name, "table": self.programs.version})
        return self._described(name, self.programs.get(name), 200)

    def _described(self, name: str, loaded: Loaded, status: int) -> Response:
        body = {"program": name, "digest": loaded.digest, "generation": loaded.generation}
        return JsonResponse({**body, "boot": self.programs.boot, "table": self.programs.version}, status)

    async def canary(self, request: Request) -> Response:
        """`POST /lethe/v1/canary`: prove that a program changes its own request and leaves the next one as it was."""
        loaded = self.programs.get(str((await _json(request)).get("program")))
        problem = await asyncio.get_running_loop().run_in_executor(self.worker, self._probe, loaded)
        return JsonResponse({"ok": True}) if problem is None else refusal(503, problem, "lethe_canary")

    def _probe(self, loaded: Loaded) -> str | None:
        ids = self.model.tokenizer(CANARY)["input_ids"]
        program = loaded.program.opened() if isinstance(loaded.program, Activation) else loaded.program
        edit = Edit(program, 1.0, (1, len(ids)))
        before, edited, after = (self.model.logits([ids], [e])[0][-1] for e in (None, edit, None))
        if not bool(edited.isfinite().all()):
            return "the program makes the model's logits infinite or not a number"
        if bool((edited == before).all()):
            return "the program does not change the model's logits"
        return None if bool((before == after).all()) else "an edit changed the request that came after it"

    # The rest of vLLM's shape.

    async def models(self, _: Request) -> Response:
        """`/v1/models`."""
        card = {"id": self.model.name, "object": "model", "created": 0, "owned_by": "lethe", "root": self.model.name}
        return JsonResponse({"object": "list", "data": [{**card, "max_model_len": self.model.context}]})

    async def health(self, _: Request) -> Response:
        """`/health`: the model is loaded before the first request is accepted."""
        return Response()

    async def tokenize(self, request: Request) -> Response:
        """`/tokenize`: of a `prompt` or of `messages`."""
        body = await _json(request)
        ids = parse_tokenize(body, self.model)
        strings = self.model.tokenizer.convert_ids_to_tokens(ids) if body.get("return_token_strs") else None
        limit = self.model.context
        return JsonResponse({"count": len(ids), "max_model_len": limit, "tokens": ids, "token_strs": strings})

    async def detokenize(self, request: Request) -> Response:
        """`/detokenize`."""
        body = await _json(request)
        check_model(body.get("model"), self.model)
        ids = body.get("tokens")
        if not isinstance(ids, list) or any(type(i) is not int or not 0 <= i < self.model.vocabulary for i in ids):
            raise RequestError("tokens must be a list of token ids of the model", "tokens")
        return JsonResponse({"prompt": self.model.tokenizer.decode(ids)})


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return body


async def _on_error(_: Request, error: Exception) -> Response:
    return answer_to(error)


def create_app(model: LocalModel, key: bytes | None = None) -> ASGIApp:
    """Build the application. With a key, everything but `/health` needs the gateway's signature."""
    engine = Engine(model, key)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        engine.worker.shutdown(wait=True, cancel_futures=True)

    routes = [
        Route("/v1/chat/completions", engine.chat, methods=["POST"]),
        Route("/v1/completions", engine.complete, methods=["POST"]),
        Route("/lethe/v1/chat/completions", engine.flagged_chat, methods=["POST"]),
        Route("/lethe/v1/completions", engine.flagged_complete, methods=["POST"]),
        Route("/lethe/v1/programs", engine.list_programs, methods=["GET"]),
        Route("/lethe/v1/programs/{id}", engine.program, methods=["GET", "PUT", "DELETE"]),
        Route("/lethe/v1/canary", engine.canary, methods=["POST"]),
        Route("/v1/models", engine.models, methods=["GET"]),
        Route("/health", engine.health, methods=["GET"]),
        Route("/tokenize", engine.tokenize, methods=["POST"]),
        Route("/detokenize", engine.detokenize, methods=["POST"]),
    ]
    kinds = (*REFUSALS, ClientLeftError)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=dict.fromkeys(kinds, _on_error))
    return app if key is None else FenceMiddleware(app, Fence(key))


def serve(
    model: str,
    served_model_name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8001,
    key: bytes | None = None,
    dtype: str = "auto",
    device: str = "cpu",
) -> None:
    """Load a model and serve it until interrupted. Raises ValueError for an open address without a key."""
    import uvicorn  # noqa: PLC0415 - only whoever serves needs it

    if key is None and host not in LOOPBACK:
        raise ValueError(f"{host} is not a loopback address: set LETHE_ENGINE_KEY so that only the gateway gets in")
    app = create_app(LocalModel.load(model, dtype, device, served_model_name), key)
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_keep_alive=60)
