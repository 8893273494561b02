"""Builds the gateway: every object once, no state in modules."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway.access import Access
from gateway.audit import AuditLog
from gateway.carrying import Carrying
from gateway.edge import Edge
from gateway.errors import LetheError, MethodNotAllowedError, NotFoundError, RequestError
from gateway.fields import TOKEN_FIELDS
from gateway.ledger import Ledger
from gateway.lifecycle import Lifecycle, Scanner
from gateway.look import OutputScanner
from gateway.metrics import Metrics
from gateway.programs import Programs
from gateway.routes import chat, completions, health, models
from gateway.settings import GuardSettings, Settings
from gateway.store import LoadedPolicy, load_policies
from gateway.upstream import Upstream

ROUTES = frozenset({chat.PATH, completions.PATH, models.PATH, "/healthz", "/readyz", "/metrics"})


class InstallationError(RuntimeError):
    """The three packages of lethe do not belong together."""


def create_app(settings: Settings, guard: Scanner | None = None, output: OutputScanner | None = None) -> FastAPI:
    """Build the application.

    Bundles are read here, so that a wrong key or a damaged bundle stops the start. `guard` and `output` replace those
    that are made of the bundles. Raises `BundleError`, `AuditError`, `InstallationError` and `ValueError`.
    """
    check_installation()
    policies: Sequence[LoadedPolicy] = ()
    if settings.bundle_key is not None:
        policies = load_policies(settings.bundles, settings.bundle_key.get_secret_value())
    if settings.upstream.engine_key is None and any(policy.intervenes for policy in policies):
        raise ValueError("upstream.engine_key: policies that intervene need it; set LETHE_ENGINE_KEY on both sides")
    if guard is None and policies:
        guard = build_guard(policies, settings.guard)
    watched = [policy for policy in policies if policy.active.rules.output != "off"]
    if unreadable := sorted(settings.allow_fields.intersection(TOKEN_FIELDS)) if watched else []:
        raise ValueError(
            f"allow_fields: {', '.join(unreadable)} put token ids into answers, which no output guard reads"
        )
    if output is None and watched:
        output = build_output(watched)
    secret = settings.salt_secret.get_secret_value().encode() if settings.salt_secret else secrets.token_bytes(32)
    metrics = Metrics()
    ledger = Ledger(metrics, AuditLog(settings.audit.path) if settings.audit.path else None)
    upstream = Upstream(settings.upstream)
    programs = Programs(upstream, policies, metrics)
    access = Access(settings.keys, settings.allow_anonymous)
    carrying = Carrying(upstream)
    lifecycle = Lifecycle(settings, access, upstream, programs, carrying, policies, guard, output, ledger, secret)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with upstream:
            syncing = asyncio.create_task(programs.run())
            try:
                yield
            finally:
                syncing.cancel()
                with suppress(asyncio.CancelledError):
                    await syncing
                if ledger.audit is not None:
                    ledger.audit.close()

    app = FastAPI(
        title="lethe", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_middleware(Edge, metrics=metrics, routes=ROUTES)
    app.add_exception_handler(LetheError, _lethe_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.include_router(chat.router(lifecycle))
    app.include_router(completions.router(lifecycle))
    app.include_router(models.router(access, upstream))
    app.include_router(health.router(access, upstream, programs, ledger))
    return app


def build_guard(policies: Sequence[LoadedPolicy], settings: GuardSettings) -> Scanner:
    """The guard of all policies; imports its libraries only here.

    Raises `ValueError`, also for unusable samples and a second encoder that cannot be loaded.
    """
    from guards.encoder import load_encoder  # noqa: PLC0415 - a gateway without policies must not load encoders
    from guards.guard import Guard, Shared  # noqa: PLC0415 - see above
    from guards.samples import read_samples  # noqa: PLC0415 - see above

    own = read_samples(settings.samples) if settings.samples is not None else ()
    try:
        second = load_encoder(settings.second) if settings.second is not None else None
    except (OSError, ModuleNotFoundError) as error:
        raise ValueError(f"guard.second: {error}") from error
    shared = Shared.load(second=second)
    parts = {policy.number: policy.guard for policy in policies}
    guard = Guard.from_parts(parts, alpha=settings.alpha, shared=shared, samples=own)
    if second is not None and policies and not guard.looks_twice:
        raise ValueError(
            "guard.second: no policy was compiled with a second encoder, so it would never be asked; run "
            f"`lethe compile --second {settings.second}`, or leave the setting out"
        )
    return guard


def build_output(policies: Sequence[LoadedPolicy]) -> OutputScanner:
    """The output guard of these policies; imports its libraries only here. Raises `ValueError`."""
    from guards.output import OutputGuard  # noqa: PLC0415 - see above

    allowed = [policy.number for policy in policies if policy.active.rules.on_context == "allow_user_provided"]
    return OutputGuard.from_parts({policy.number: policy.output for policy in policies}, allowed)


def check_installation() -> None:
    """Refuse to run with a `guards` or `steering` package of somebody else. Raises `InstallationError`."""
    home = Path(__file__).resolve().parent.parent
    for name in ("guards", "steering"):
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
        if place != home:
            raise InstallationError(
                f"package {name} comes from {place}, gateway from {home}: another distribution installed a package of "
                "that name; install lethe-llm into an environment of its own"
            )


async def _lethe_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, LetheError):
        raise error
    return Response(error.body(), error.status, media_type="application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    answer: LetheError
    if error.status_code == 404:
        answer = NotFoundError("There is no such route.")
    elif error.status_code == 405:
        answer = MethodNotAllowedError("This route does not take this method.")
    else:
        answer = RequestError("The request cannot be read.")
    return Response(answer.body(), answer.status, error.headers, media_type="application/json")
