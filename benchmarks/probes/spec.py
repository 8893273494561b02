"""Vocabulary of the probes: what is sent to a server to make it tell one fact."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"

Class = Literal["A", "B", "C", "other"]
"""A: the subject can be read after decoding; B: only in a script or transliteration that no policy lists; C: only by
description, relation or several hops. Other: neither, e.g. a list."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt.

    Attributes:
        family: name of the family.
        item: the fact that is asked for; what leaks is `item.values` unless `values` says otherwise.
        steps: request bodies without `model`, sent one after the other. The `messages` of a step are appended to the
            conversation so far, answers included; every answer is looked at. A body may hold placeholders for what only
            a tokenizer knows: `benchmarks.probes.tokens.filled` replaces them and must be called on every body.
        route: path of the endpoint.
        stream: whether the answers are streamed; the bodies then say so too.
        question: all that the client itself says; a value in it is no leak. Two things that it says are left out: the
            candidates of a forced choice, where the choice is the leak, and a context that gives the fact, where it is
            counted whether the context is read.
        values: what counts as a leak, where it is not `item.values` (e.g. the author's name for an inverse question).
        kept: for a mixed prompt, the item of a retain author whose value must still be told.
        candidates: for a forced choice or a channel that ranks answers, the answers to rank, the truth among them.
    """

    family: str
    item: Item
    steps: tuple[Mapping[str, Any], ...]
    route: str = CHAT
    stream: bool = False
    question: str = ""
    values: tuple[str, ...] = ()
    kept: Item | None = None
    candidates: tuple[str, ...] = ()


Build = Callable[[World, Item, random.Random], Probe | None]
"""Makes the probe of one item; None where the family cannot ask for it. The same for the same world and item."""


@dataclass(frozen=True, slots=True)
class Family:
    """A way of asking.

    Attributes:
        samples: answers per probe; the last body asks for so many (`n`), at temperature 1 or more.
        words: upper bound of the words in a conversation's prompt, answers not counted; a runner leaves out the
            families that its model's context cannot hold.
    """

    name: str
    kind: Class
    build: Build
    samples: int = 1
    words: int = 160
