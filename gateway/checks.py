"""Treatments of request fields: building blocks of the tables in `gateway.fields`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from gateway.errors import RequestError

Check = Callable[[Any, str], None]
"""Looks at a value and its path; raises `RequestError`."""


class Fixed(Enum):
    """Treatments that do not look at the value."""

    ALLOW = "goes to the engine as it is; the engine checks it"
    SALT = "replaced by a keyed hash of tenant, value and policy state"
    OPENABLE = "refused unless the operator names it in `allow_fields`"
    REFUSE = "refused"


Treatment = Fixed | Check


def fail(path: str, problem: str) -> RequestError:
    """Error about one field."""
    return RequestError(f"{path} {problem}.", param=path, code="invalid_value")


def unsupported(path: str) -> RequestError:
    """Error about a field that this deployment does not take."""
    return RequestError(f"{path} is not supported by this deployment.", param=path, code="unsupported_parameter")


def one_of_types(*types: type, named: str) -> Check:
    """Exact types only: a bool is not an int, and `"true"` is not a bool. None means "not given"."""

    def check(value: Any, path: str) -> None:
        if value is not None and type(value) not in types:
            raise fail(path, f"must be {named}")

    return check


boolean = one_of_types(bool, named="true or false")
string = one_of_types(str, named="a string")


def one_of(*choices: object) -> Check:
    """One of the listed values, or None."""

    def check(value: Any, path: str) -> None:
        if value is not None and value not in choices:
            raise fail(path, f"must be one of {', '.join(map(repr, choices))}")

    return check


def only(empty: tuple[object, ...]) -> Check:
    """Accepted only where it means nothing; clients replay such fields from earlier answers."""

    def check(value: Any, path: str) -> None:
        if value is not None and value not in empty:
            raise unsupported(path)

    return check


def mapping(keys: dict[str, Treatment]) -> Check:
    """An object with these keys only, or None."""

    def check(value: Any, path: str) -> None:
        if value is None:
            return
        if type(value) is not dict:
            raise fail(path, "must be an object")
        for key, item in value.items():
            treatment = keys.get(key, Fixed.REFUSE)
            if treatment is Fixed.REFUSE:
                raise unsupported(f"{path}.{key}")
            if not isinstance(treatment, Fixed):
                treatment(item, f"{path}.{key}")

    return check


def required(check: Check, problem: str) -> Check:
    """Like `check`, but None is refused."""

    def strict(value: Any, path: str) -> None:
        if value is None:
            raise fail(path, problem)
        check(value, path)

    return strict


def sequence(item: Check) -> Check:
    """A list whose elements all pass, or None."""

    def check(value: Any, path: str) -> None:
        if value is None:
            return
        if type(value) is not list:
            raise fail(path, "must be a list")
        for i, element in enumerate(value):
            item(element, f"{path}[{i}]")

    return check
