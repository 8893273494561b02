"""Allow-list of a route: what is not known to be harmless does not reach the engine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from gateway.checks import Fixed, string, unsupported
from gateway.errors import RequestError
from gateway.fields import FIELDS, REQUIRED, STOPPED_BY


@dataclass(frozen=True, slots=True)
class Sanitised:
    """A request body that holds allowed fields only; the client's own cache salt is taken out of it."""

    body: dict[str, Any]
    client_salt: str

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body["model"])


def sanitize(route: str, body: dict[str, Any], allowed: Collection[str] = ()) -> Sanitised:
    """Check a parsed body against the table of its route.

    `allowed` are the fields that the operator opened. Raises `RequestError` naming the first field that is refused, in
    the order of the body.
    """
    table = FIELDS[route]
    kept: dict[str, Any] = {}
    salt = ""
    for name, value in body.items():
        treatment = table.get(name, Fixed.REFUSE)
        if treatment is Fixed.ALLOW:
            kept[name] = value
        elif treatment is Fixed.SALT:
            string(value, name)
            salt = value or ""
        elif treatment is Fixed.REFUSE or treatment is Fixed.OPENABLE:
            if treatment is Fixed.REFUSE or name not in allowed:
                raise unsupported(name)
            kept[name] = value
        else:
            treatment(value, name)
            kept[name] = value
    for name in REQUIRED[route]:
        if name not in kept:
            raise RequestError(f"{name} is missing.", param=name, code="missing_parameter")
    return Sanitised(kept, salt)


def require_text(asked: Sanitised) -> None:
    """Raise `RequestError` for a field that makes an answer say with numbers what an output guard reads as text."""
    if asked.body.get(STOPPED_BY):
        raise unsupported(STOPPED_BY)
