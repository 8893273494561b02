"""What a policy says about the text that must be recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Entity(BaseModel):
    """Something to be forgotten, with every name it goes by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=2, description="Its usual name; an unambiguous one, because a match is a verdict.")
    aliases: tuple[str, ...] = Field((), description="Other unambiguous names; one match is a verdict by itself.")
    related: tuple[str, ...] = Field(
        (),
        description="Ambiguous or related names: evidence only. They are corrupted in a flagged request, and two "
        "different ones in one request are a verdict.",
    )
    titles: tuple[str, ...] = Field(
        (),
        description="Titles of works, places or things that belong to it and to nothing else, of several words with "
        "capitals: one is a verdict where it is written as a title and no harmless text of the fit holds it; otherwise "
        "evidence like a related name. Titles in quotation marks in answers and passages about it are added.",
    )


class Example(BaseModel):
    """A question that must be answered as if the model had never learned the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field("", description="A full answer as the model would give it.")
    value: str = Field("", description="The short forgotten value that is asked for.")


class GuardSpec(BaseModel):
    """The guard's part of a forget policy. Paths are relative to the policy file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    granularity: Literal["entity", "facts"] = Field(
        "entity",
        description="entity: everything about the entities is forgotten, an alias match is a verdict. "
        "facts: an alias match is evidence only and the classifier decides.",
    )
    entities: tuple[Entity, ...] = Field(min_length=1, description="What must be forgotten.")
    topic: str = Field("", description="One sentence that describes the topic.")
    examples: tuple[Example, ...] = Field((), description="Questions that touch the policy, inline.")
    examples_file: Path | None = Field(
        None, description="JSON lines of {question, answer?, value?}; fitting part only."
    )
    passages: tuple[str, ...] = Field((), description="Running text about the topic.")
    retain: tuple[str, ...] = Field((), description="Hard neighbours: harmless texts that look alike, inline.")
    retain_file: Path | None = Field(None, description="JSON lines of {question}; fitting part only.")
    values: tuple[str, ...] = Field((), description="Forgotten values besides those of the examples.")
