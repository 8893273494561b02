"""What the engine answers when it does not answer: every error as an OpenAI error body with its status."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from starlette.responses import Response

from steering.engine.local.body import RequestError
from steering.engine.local.programs import ProgramConflictError, UnknownProgramError
from steering.engine.local.reply import error_body
from steering.engine.local.residual import EngineFaultError
from steering.engine.mask import MaskError
from steering.engine.order import OrderError
from steering.program import ProgramError

log = logging.getLogger("lethe.engine")

REFUSALS = (RequestError, OrderError, MaskError, ProgramError, EngineFaultError)
"""Errors whose text is meant for the caller."""


class JsonResponse(Response):
    """A body that orjson writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Serialise."""
        return orjson.dumps(content)


def refusal(status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> JsonResponse:
    """An OpenAI error body with its status."""
    return JsonResponse(error_body(message, kind, param, status), status)


def answer_to(error: Exception) -> JsonResponse:
    """Map an error to a response; one that nobody foresaw is logged and says nothing about itself."""
    match error:
        case RequestError():
            return refusal(error.status, str(error), error.kind, error.param)
        case OrderError():
            return refusal(400, str(error), "lethe_order")
        case MaskError():
            return refusal(422, str(error), "lethe_mask")
        case UnknownProgramError():
            return refusal(404, str(error), "lethe_unknown_program")
        case ProgramConflictError():
            return refusal(409, str(error), "lethe_program_conflict")
        case ProgramError():
            return refusal(400, str(error), "lethe_program")
        case EngineFaultError():
            return refusal(500, str(error), "lethe_engine_fault")
        case _:
            log.error("a request failed", exc_info=error)
            return refusal(500, "the engine failed on this request", "InternalServerError")
