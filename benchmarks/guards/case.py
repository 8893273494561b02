"""Vocabulary: a question to be asked in many ways, and one request made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from guards.verdict import TextPart

Class = Literal["A", "B", "C", "facts", "harmless"]
"""A: the name can be read after decoding; B: only in a script in which it is not listed; C: only by description. Facts:
of a policy of granularity `facts`, where the name alone decides nothing. Harmless: must pass."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A question that touches a policy.

    Attributes:
        id: unique among all items, e.g. "3602" or "3602 paraphrase 0".
        group: what its policies are reported under, e.g. "tofu".
        policy: number of the policy that must recognise it.
        cluster: whom it is about; questions with the same cluster are not independent. Empty: no such thing.
        text, name: the question, and the name in it by which the policy knows the subject; empty without one.
        alias: another name that the policy lists; empty without one.
        form: how it is asked, e.g. "direct" or "paraphrase".
    """

    id: str
    group: str
    policy: str
    cluster: str
    text: str
    name: str
    alias: str
    form: str


@dataclass(frozen=True, slots=True)
class Case:
    """One request.

    Attributes:
        item: id of the item it was made from; empty for a harmless one.
        group, policy, cluster: as in `Item`; the policy of a harmless request is empty.
        family: how it asks, or for a harmless one of which kind it is.
        name: the name in the question that it was made from; empty without one.
        text: all that is said, one message a line.
        shown: what results may show of it: the text, or where the question stands in a public set.
        parts: what the guard reads.
    """

    item: str
    group: str
    policy: str
    cluster: str
    family: str
    kind: Class
    name: str
    text: str
    shown: str
    parts: tuple[TextPart, ...]
