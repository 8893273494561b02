"""GET /healthz, /readyz and /metrics: for orchestrators and operators."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.errors import LetheError
from gateway.ledger import Ledger
from gateway.metrics import CONTENT_TYPE
from gateway.programs import Programs
from gateway.upstream import Upstream

READY_PATIENCE = 5.0


def router(access: Access, upstream: Upstream, programs: Programs, ledger: Ledger) -> APIRouter:
    """Health, readiness and metrics."""
    routes = APIRouter()

    @routes.get("/healthz", response_model=None)
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @routes.get("/readyz", response_model=None)
    async def readyz() -> Response:
        problems = [f"policy {number}: not confirmed" for number in programs.problems(datetime.now(UTC).date())]
        if ledger.audit is not None and ledger.audit.failed is not None:
            problems.append("audit log: cannot be written")
        try:
            status, _ = await upstream.call("GET", "/v1/models", patience=READY_PATIENCE)
            if status != 200:
                problems.append(f"upstream: status {status}")
        except LetheError as error:
            problems.append(f"upstream: {error.code}")
        body = {"status": "not ready", "problems": problems} if problems else {"status": "ok"}
        return Response(orjson.dumps(body), 503 if problems else 200, media_type="application/json")

    @routes.get("/metrics", response_model=None)
    async def metrics(request: Request) -> Response:
        # counters per policy tell when a rule fires, so clients must not read them
        access.tenant(request.headers.get("authorization"), "operator")
        return Response(ledger.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return routes
