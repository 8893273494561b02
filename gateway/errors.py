"""Every error that a client can see, and the OpenAI error body it becomes.

    LetheError
    ├── RequestError               400  the client's request is wrong
    │   ├── UnauthorizedError           401
    │   ├── NotFoundError               404  also every route that does not exist
    │   ├── MethodNotAllowedError       405
    │   ├── BodyTooLargeError           413
    │   ├── UnscannableError            400  content that no guard can read
    │   └── UpstreamRejectedError       4xx  the engine refused the request
    └── ServiceError               500  the deployment is at fault
        ├── NotProtectedError           503  a policy that covers the model is not confirmed, or was not carried out
        ├── UpstreamUnreachableError    503
        ├── UpstreamFailedError         502  the engine answered with an error or broke off
        └── UpstreamTimeoutError        504

Texts name fields and numbers, never what a request said or which policy it touched.
"""

from __future__ import annotations

from typing import Any

import orjson


class LetheError(Exception):
    """Base of all errors with an HTTP meaning.

    Attributes:
        message: text for the client.
        param: JSON path of the offending field, or None.
        status, kind, code: HTTP status, OpenAI `type` and OpenAI `code`.
    """

    status = 500
    kind = "server_error"
    code: str | None = None

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param = message, param
        if code is not None:
            self.code = code

    def content(self) -> dict[str, Any]:
        """The OpenAI error object, with its `error` wrapper."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def body(self) -> bytes:
        """The OpenAI error object as JSON."""
        return orjson.dumps(self.content())


class RequestError(LetheError):
    """The client's request is wrong."""

    status = 400
    kind = "invalid_request_error"


class UnauthorizedError(RequestError):
    """No key, or one that is not known. One text for both."""

    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class NotFoundError(RequestError):
    """A route or model that does not exist."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """A route that exists, with another method."""

    status = 405
    code = "method_not_allowed"


class BodyTooLargeError(RequestError):
    """A body above `limits.max_body_bytes`."""

    status = 413
    code = "request_too_large"


class UnscannableError(RequestError):
    """Content that no guard can read, on a model whose policies do not let it pass."""

    code = "unsupported_content"


class UpstreamRejectedError(RequestError):
    """The engine refused the request; status and text are the engine's."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param, code)
        self.status = status


class ServiceError(LetheError):
    """The deployment is at fault."""


class NotProtectedError(ServiceError):
    """A policy cannot be carried out at present, so that nothing is answered."""

    status = 503
    code = "service_unavailable"


class UpstreamUnreachableError(ServiceError):
    """No connection to the engine."""

    status = 503
    code = "upstream_unreachable"


class UpstreamFailedError(ServiceError):
    """The engine answered with an error of its own or broke off."""

    status = 502
    code = "upstream_failed"


class UpstreamTimeoutError(ServiceError):
    """The engine did not answer in time."""

    status = 504
    code = "upstream_timeout"
