"""GET /v1/models: the engine's base models; adapters and everything internal are left out."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.errors import UpstreamFailedError
from gateway.upstream import Upstream, failure, json_object

PATH = "/v1/models"
SHOWN = ("id", "object", "created", "owned_by", "max_model_len")


def router(access: Access, upstream: Upstream) -> APIRouter:
    """The list of models."""
    routes = APIRouter()

    @routes.get(PATH, response_model=None)
    async def models(request: Request) -> Response:
        access.tenant(request.headers.get("authorization"))
        status, data = await upstream.call("GET", PATH)
        if status != 200:
            raise failure(status, data)
        entries = json_object(data).get("data")
        if not isinstance(entries, list):
            raise UpstreamFailedError("The engine sent no list of models.")
        shown = [
            {key: entry[key] for key in SHOWN if key in entry}
            for entry in entries
            if isinstance(entry, dict) and entry.get("parent") is None
        ]
        return Response(orjson.dumps({"object": "list", "data": shown}), media_type="application/json")

    return routes
