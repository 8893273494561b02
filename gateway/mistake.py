"""What is wrong with a policy file, said without its text."""

from __future__ import annotations

import re

from pydantic import ValidationError
from yaml import MarkedYAMLError, YAMLError

_QUOTED, _SIGN = re.compile(r"'[^']*'|\"[^\"]*\""), re.compile(r"\\?.|<.*>")
"""What the parser quotes, and the same where it is a single character or a kind of token."""


def mistakes(error: Exception, *, reveal: bool = False) -> list[str]:
    """One line per mistake, with its place; `reveal` quotes the file where the parser does."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found]
    return [_unreadable(error) if isinstance(error, YAMLError) and not reveal else str(error)]


def _unreadable(error: YAMLError) -> str:
    """Where a file is no YAML, and why. The parser quotes the line, and names of anchors and tags."""
    if not isinstance(error, MarkedYAMLError):
        return "not valid YAML: a character that is not allowed; --reveal shows where"
    problem = _QUOTED.sub(
        lambda match: match[0] if _SIGN.fullmatch(match[0][1:-1]) else "...",
        error.problem or error.context or "it cannot be read",
    )
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}not valid YAML: {problem}; --reveal shows the line"
