"""Benign texts that every installation has: for negatives of a fit and for calibration.

Three sources: running text of Python's own manual (`pydoc_data`) and of the descriptions of the libraries that every
installation needs, everyday requests from templates, and texts of figures. What else is installed changes nothing, so a
gateway decides as the machine did that compiled the policy. A text belongs to the fitting half or to the calibration
half by a digest of its content, so the halves are disjoint even between two machines.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guards.corpus_documents import manuals
from guards.everyday import NAMED, PLAIN, SLOTS, STORIES
from guards.wordless import wordless

Half = Literal["fit", "calibration"]

REQUESTS = 5200
DOCUMENTS = 1800
WORDLESS = 450
"""Texts drawn from templates, from documents and of figures, before deduplication."""

_LONGEST = 2400
"""Characters of a run of paragraphs."""


@dataclass(frozen=True, slots=True)
class Benign:
    """A harmless text.

    Attributes:
        named: it may hold the name of a person or a work that some policy forgets.
        document: it is from a document, and no request.
        worded: it is made of words, and not of figures.
    """

    text: str
    named: bool
    document: bool = False
    worded: bool = True


def benign(half: Half, *, requests: int = REQUESTS, documents: int = DOCUMENTS) -> list[Benign]:
    """The texts of one half, in a fixed order, without duplicates."""
    asked = [*everyday(requests), *(Benign(text, named=False, worded=False) for text in wordless(WORDLESS))]
    own = [item for item in asked if half_of(item.text) == half]
    return list({item.text: item for item in [*own, *_documents(documents, half)]}.values())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def half_of(text: str) -> Half:
    """The half that a text belongs to. One third is for fitting: small p-values need the larger number."""
    return "fit" if _digest(text)[0] % 3 == 0 else "calibration"


def everyday(count: int, seed: int = 20240607) -> Iterator[Benign]:
    """Everyday requests: questions, tasks, chat, small stories, pasted text with a question."""
    draw = random.Random(seed)
    for _ in range(count):
        shape = draw.random()
        if shape < 0.62:
            yield _styled(_request(draw), draw)
        elif shape < 0.80:
            items = [_request(draw) for _ in range(draw.randint(2, 5))]
            yield Benign(" ".join(i.text for i in items), any(i.named for i in items))
        elif shape < 0.94:
            yield Benign(_fill(draw.choice(STORIES), draw), named=False)
        else:
            stories = [_fill(draw.choice(STORIES), draw) for _ in range(draw.randint(2, 6))]
            task = _request(draw)
            yield Benign("\n\n".join([*stories, task.text]), task.named)


def _request(draw: random.Random) -> Benign:
    named = draw.random() < 0.35
    return Benign(_fill(draw.choice(NAMED if named else PLAIN), draw), named)


def _fill(template: str, draw: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: draw.choice(SLOTS[m[1]]), template)


def _styled(item: Benign, draw: random.Random) -> Benign:
    """People write carelessly: without capitals, without the mark at the end, with a greeting."""
    text = item.text
    style = draw.random()
    if style < 0.15:
        text = text.lower()
    elif style < 0.25:
        text = text.rstrip("?.!")
    elif style < 0.33:
        text = draw.choice(("Hi! ", "Hello, ", "Please help: ", "Quick question: ", "hey, ")) + text
    elif style < 0.40:
        text += draw.choice((" Thanks!", " Answer briefly.", " Explain step by step.", " Give one example."))
    return Benign(text, item.named)


def _documents(count: int, half: Half) -> list[Benign]:
    """Paragraphs, and runs of paragraphs, of manuals; `count` of both halves together, spread evenly."""
    single = [p for document in manuals() for p in document.paragraphs if half_of(p) == half]
    runs = ["\n\n".join(single[i : i + 4])[:_LONGEST] for i in range(0, len(single) - 3, 8)]
    found = sorted(dict.fromkeys([*single, *runs]), key=_digest)
    return [Benign(p, named=False, document=True) for p in found[: count // 3 if half == "fit" else count - count // 3]]
