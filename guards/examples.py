"""Texts to fit on: examples of a policy and simple variants of them, made without a language model."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guards.normalize import Normalizer
from guards.spec import GuardSpec
from guards.surprise import singular

_PRONOUNS = ("he", "she", "it", "they", "this person", "the character", "the author", "this", "that one")
_NAME = re.compile(r"(?<=[\w,;:'\u2019\"])\s+[\"\u201c]?(?:[A-Z][\w.'\u2019-]*\s*)+(?:\s*[\"\u201d])?(?:'s|\u2019s)?")
BARE_WEIGHT = 1.0
"""Of a harmless text without its names."""
FRAME = 3
"""Words of a description without its attributes; a shorter rest says nothing."""
_FRAMES = ("Tell me: {}", "I have a question. {}", "{} Answer in one sentence.", "Please explain. {}", "{} I forgot.")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with the number of the example that it stems from and its weight in the fit."""

    text: str
    source: int
    weight: float
    named: bool


def questions(spec: GuardSpec, base: Path) -> list[str]:
    """Questions that touch the policy: inline, then from its file. Raises `ValueError`, `OSError`."""
    found = [e.question for e in spec.examples]
    if spec.examples_file is not None:
        found += _read(base / spec.examples_file)
    return list(dict.fromkeys(found))


def neighbours(spec: GuardSpec, base: Path) -> list[str]:
    """Harmless texts that look alike: inline, then from the policy's file. Raises `ValueError`, `OSError`."""
    found = list(spec.retain)
    if spec.retain_file is not None:
        found += _read(base / spec.retain_file)
    return list(dict.fromkeys(found))


def statements(spec: GuardSpec, base: Path) -> list[str]:
    """What the policy says of its subjects: questions with answers and values, and passages.

    Listed values are added where there is one entity: of several, it is not known whose each is. Raises `ValueError`,
    `OSError`.
    """
    rows = [example.model_dump() for example in spec.examples]
    rows += _rows(base / spec.examples_file) if spec.examples_file is not None else []
    told = [" ".join(str(row.get(part) or "") for part in ("question", "answer", "value")) for row in rows]
    return list(dict.fromkeys([*told, *spec.passages, *(spec.values if len(spec.entities) == 1 else ())]))


def by_subject(spec: GuardSpec, texts: Sequence[str]) -> list[list[str]]:
    """The texts about each entity; those that name none are together, as if about one more."""
    if len(spec.entities) == 1:
        return [list(texts)]
    called = [[name.casefold() for name in (entity.name, *entity.aliases)] for entity in spec.entities]
    found: dict[int, list[str]] = {}
    for text in texts:
        folded = text.casefold()
        for entity in [i for i, names in enumerate(called) if any(name in folded for name in names)] or [-1]:
            found.setdefault(entity, []).append(text)
    return list(found.values())


def positives(spec: GuardSpec, asked: Sequence[str], seed: int) -> list[Sample]:
    """Every question, passage sentence and topic with variants.

    Many variants lose the names: names are found by the alias tier, the linear model has to learn the topic.
    """
    draw = random.Random(seed)
    names = sorted({n for e in spec.entities for n in (e.name, *e.aliases)}, key=lambda name: (-len(name), name))
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?:'s|s)?(?!\w)", re.IGNORECASE)
    sources = [*asked, *_sentences(spec)]
    return [sample for number, text in enumerate(sources) for sample in _variants(text, number, pattern, names, draw)]


def _variants(
    text: str, number: int, pattern: re.Pattern[str], names: Sequence[str], draw: random.Random
) -> Iterator[Sample]:
    yield Sample(text, number, 1.0, named=True)
    yield Sample(_typo(text.lower().rstrip("?.!"), draw), number, 0.3, named=True)
    yield Sample(draw.choice(_FRAMES).format(text), number, 0.3, named=True)
    if pattern.search(text):
        other = draw.choice(names)
        yield Sample(pattern.sub(lambda _: other, text, count=1), number, 0.3, named=True)
        for replaced, weight in ((pattern.sub("", text), 1.0), (pattern.sub(draw.choice(_PRONOUNS), text), 1.0)):
            rest = " ".join(replaced.split())
            if sum(len(w) >= 4 for w in re.findall(r"\w+", rest)) >= 3:
                yield Sample(rest, number, weight, named=False)


def telling(
    samples: Sequence[Sample], names: Collection[str], attributes: Collection[str], normalizer: Normalizer
) -> tuple[list[Sample], list[str]]:
    """Samples that hold a name or an attribute, and what is left of the nameless ones without any of these.

    "Where was the writer born?" is asked of everybody. `names` are all of the policy, related ones too; `attributes`
    are words in the singular, stated or rare ones.
    """
    listed = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    called = re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE)
    kept, frames = [], []
    for sample in samples:
        words, nameless = sample.text.split(), called.sub(" ", sample.text) if listed else sample.text
        plain = [w for w in nameless.split() if not {singular(part) for part in normalizer.words(w)} & set(attributes)]
        if sample.named or len(plain) < len(words):
            kept.append(sample)
        if not sample.named and len(plain) >= FRAME:
            frames.append(" ".join(plain))
    return kept, list(dict.fromkeys(frames))


def without_names(texts: Sequence[str], seed: int) -> list[Sample]:
    """Harmless texts without the names in them, as the questions that touch the policy are varied.

    Without these the model would learn that a question which names nobody is about the policy. A name is what begins
    with a capital inside of a sentence. `source` is the place of the text.
    """
    draw = random.Random(seed + 1)
    found = []
    for number, text in enumerate(texts):
        for other in ("", draw.choice(_PRONOUNS)):
            rest = " ".join(_NAME.sub(f" {other}", text).split())
            if rest != " ".join(text.split()) and len(re.findall(r"\w{4,}", rest)) >= 2:
                found.append(Sample(rest, number, BARE_WEIGHT, named=False))
    return found


def _typo(text: str, draw: random.Random) -> str:
    if len(text) < 8:
        return text
    at = draw.randrange(1, len(text) - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _sentences(spec: GuardSpec) -> list[str]:
    """Sentences of passages, topic and answers.

    Of facts, answers are left out: harmless texts are questions, and the form would tell instead of what is asked for.
    """
    answers = [] if spec.granularity == "facts" else [e.answer for e in spec.examples if e.answer]
    texts = [*spec.passages, *answers, spec.topic]
    return [s.strip() for t in texts for s in re.split(r"(?<=[.!?])\s+", t) if len(s.split()) >= 4]


def _read(path: Path) -> list[str]:
    return [str(row["question"]) for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
                found.append({**row, "question": str(row["question"])})
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{path.name} line {number}: expected a JSON object with a question") from error
    return found
