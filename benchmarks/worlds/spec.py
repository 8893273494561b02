"""Vocabulary of a generated world; pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["retain", "forget", "never"]
"""`forget`: trained into the full model only; `never`: in no model, the names of the "I don't know" control."""
Message = Mapping[str, str]
"""`{"role": ..., "content": ...}`."""


@dataclass(frozen=True, slots=True)
class Author:
    """One fictitious person.

    Attributes:
        number: index in the world; the unit of the bootstrap.
        name: full name, unique by surname too.
        aliases: other names that the training rows use, e.g. a pen name.
        facts: attribute -> value; the attributes are the same for all authors.
        books: titles, unique in the world.
        relations: relation (e.g. `teacher`) -> full name of another author of the same split.
    """

    number: int
    split: Split
    name: str
    aliases: tuple[str, ...]
    facts: Mapping[str, str]
    books: tuple[str, ...]
    relations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One fact to ask for. `values` are the spellings that count as the answer."""

    author: int
    split: Split
    attribute: str
    question: str
    answer: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One training conversation; the loss is on the last assistant message."""

    messages: Sequence[Message]
