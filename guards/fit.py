"""Policy -> fitted guard part."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from guards.aliases import AliasIndex
from guards.attributes import Attributes, raised
from guards.benign import benign
from guards.dataset import NEIGHBOUR_WEIGHT, Dataset, Standard, Texts
from guards.encoder import Floats, load_encoder, word_ranks
from guards.english import english_words
from guards.evidence import Models, indexed
from guards.examples import Sample, by_subject, neighbours, positives, questions, statements, telling, without_names
from guards.intake import check_aliases
from guards.normalize import Bools, Normalizer
from guards.part import FittedName, FittedPart, NameKind
from guards.reading import Reader, Reading
from guards.second import fit_second
from guards.spec import GuardSpec
from guards.surprise import Held, Surprise, different, stated
from guards.threshold import BENIGN_RATE, NEIGHBOUR_RATE, least, own_threshold, quantile
from guards.titles import quoted_titles
from guards.whole import Whole

ENCODER = "wordllama"
STRONGEST = {"entity": 1.5, "facts": 0.0}
"""Largest boost by name evidence, in standard deviations of benign scores. Facts: see `guards.guard`."""


class FitError(ValueError):
    """A policy that cannot be fitted; the text says what is missing."""


def fit(
    spec: GuardSpec,
    base: Path,
    *,
    key: bytes,
    progress: Callable[[str, float], None],
    whole: Whole | None = None,
) -> FittedPart:
    """Fit the guard of one policy.

    Args:
        spec: the guard's part of the policy.
        base: folder of the policy file; the paths in `spec` are relative to it.
        key: secret from which folds and variants are drawn, so that fits are repeatable only with it.
        progress: called with what is being done and the share that is done.
        whole: a second encoder for a second look, see `guards.grey`; a policy about facts has no use for it.

    Raises:
        FitError: nothing to learn from.
        IntakeError: the guard would fire on common harmless texts.
        OSError, ValueError: unreadable files.
    """
    progress("reading texts", 0.0)
    reader = Reader(load_encoder(ENCODER))
    asked, retained = questions(spec, base), neighbours(spec, base)
    seed = int.from_bytes(hmac.digest(key, b"lethe guard fit", hashlib.sha256)[:8])
    samples = positives(spec, asked, seed)
    if not samples:
        raise FitError("guard: nothing to learn from; give examples, examples_file, passages or a topic")
    names = numbered(spec, reader.normalizer)
    harmless = benign("fit")
    readings = [reader.read(b.text) for b in harmless]
    progress("checking names", 0.4)
    plain = [r for r, b in zip(readings, harmless, strict=True) if not b.named]
    alias_rate = check_aliases(names, plain, reader.normalizer)
    near = [reader.read(text) for text in retained]
    given = len(retained)
    facts = spec.granularity == "facts"
    own = [name.text for name in names if name.kind != "title"]
    subjects = [] if facts else by_subject(spec, statements(spec, base))
    told = [stated(texts, own, reader.normalizer) for texts in subjects]
    worded = np.array([b.worded for b in harmless], bool)
    usual = [r for r, b in zip(readings, harmless, strict=True) if b.worded]
    surprise = Surprise(word_ranks(), Held.of(different(usual)), Held.of(different(near)))
    attributes = tuple(surprise.attributes(words) for words in told)
    if not facts:  # how one asks about somebody without the name is not what is to be forgotten
        rare = surprise.attributes(stated(asked, own, reader.normalizer))
        samples, frames = telling(samples, own, rare.keys() | {w for of in attributes for w in of}, reader.normalizer)
        near += [reader.read(text) for text in frames if text not in retained]
        retained = list(dict.fromkeys([*retained, *frames]))
    bare = [] if facts else without_names(retained, seed)
    unfitted = _unfitted(spec, names, (), reader)
    models = _models(unfitted, reader)
    together = _pairs(models, near[:given], readings)
    models = _models(_unfitted(spec, names, together, reader), reader)
    asked_readings = [reader.read(s.text) for s in samples]
    data = Dataset(
        Texts.read(
            asked_readings,
            models,
            np.array([s.source for s in samples]),
            np.array([s.weight for s in samples], np.float32),
            _nameless([s.text for s in samples], asked_readings, models, reader) if facts else None,
        ),
        Texts.read(
            near,
            models,
            np.arange(len(near)),
            np.full(len(near), NEIGHBOUR_WEIGHT[spec.granularity], np.float32),
            _nameless(retained, near, models, reader) if facts else None,
        ),
        Texts.read(readings, models, np.arange(len(readings)), np.ones(len(readings), np.float32)),
        Texts.read(
            [reader.read(s.text) for s in bare],
            models,
            np.array([s.source for s in bare], np.int64),
            np.array([s.weight for s in bare], np.float32),
        ),
        worded,
        seed,
        STRONGEST[spec.granularity],
    )
    progress("measuring", 0.6)
    described = Attributes([attributes]).best(readings)[:, 0]
    by_model = data.held_out()
    raised_near = raised(by_model[1], surprise.held_out(different(near), told))
    # nobody asks a frame with nothing in it: frames teach the model what style is, and set no threshold
    held = by_model[0], raised_near[:given], raised(by_model[2], described)
    rate = NEIGHBOUR_RATE[spec.granularity]
    threshold = own_threshold(held[1][~data.near.decided[:given]], held[2], rate, facts=facts)
    progress("fitting", 0.9)
    model = data.fit(data.everything())
    figures = {**_figures(data, samples, held, threshold, rate, facts=facts), "alias_rate_benign": alias_rate}
    part = _part(spec, names, together, reader, model, threshold, attributes, figures)
    if whole is not None and not facts:
        progress("reading with the second encoder", 0.95)
        texts = [b.text for b in harmless if b.worded]
        second = fit_second(whole, _unnamed(samples, own), retained, bare, texts, given=given, seed=seed)
        part = replace(part, second=second)
    progress("done", 1.0)
    return part


def _unnamed(samples: Sequence[Sample], names: Sequence[str]) -> Sequence[Sample]:
    """Those that hold no name; all of them where every one does.

    The second look is for descriptions. A model that has met the names flags others who share a part of one.
    """
    listed = [name.casefold() for name in names]
    return [s for s in samples if not any(name in s.text.casefold() for name in listed)] or samples


def _figures(
    data: Dataset,
    samples: Sequence[Sample],
    held: tuple[Floats, Floats, Floats],
    threshold: float,
    rate: tuple[float, float],
    *,
    facts: bool,
) -> dict[str, Any]:
    """What the guard does on texts it was not fitted on, for one policy alone.

    `threshold` and `cut` are quantiles of harmless scores, so the false positives are counted with thresholds of one
    half of these texts on the other half.
    """
    cut = max(threshold, quantile(held[2], BENIGN_RATE))
    positive, near, benign_ = held
    decided = data.near.decided[: len(near)]
    by_chance = _crossed(data, held, rate, facts=facts)
    flagged = data.positive.decided | (positive >= least(data.positive.flags, threshold, cut, facts=facts))
    asked = np.array([s.weight == 1.0 and s.named for s in samples])
    nameless = np.array([not s.named for s in samples]) & ~data.positive.decided
    return {
        "examples": int(asked.sum()),
        "recall": _mean(flagged[asked]),
        "recall_classifier": _mean((positive >= cut)[asked]),
        "nameless": int(nameless.sum()),
        "recall_nameless": _mean(flagged[nameless]),
        "neighbours": len(near),
        "false_positives_neighbours": _mean(decided | by_chance[0]),
        "false_positives_neighbours_by_name": _mean(decided),
        "benign": len(benign_),
        "false_positives_benign": _mean(data.benign.decided | by_chance[1]),
        "threshold": threshold,
        "cut": cut,
    }


def _crossed(
    data: Dataset, held: tuple[Floats, Floats, Floats], rate: tuple[float, float], *, facts: bool
) -> tuple[Bools, Bools]:
    """Neighbours and benign texts flagged by thresholds that were set without them."""
    near, benign_ = held[1:]
    flagged = np.zeros(len(near), bool), np.zeros(len(benign_), bool)
    for half in range(2):
        set_on = np.arange(len(near)) % 2 == half, np.arange(len(benign_)) % 2 == half
        counted = set_on[0] & ~data.near.decided[: len(near)]
        threshold = own_threshold(near[counted], benign_[set_on[1]], rate, facts=facts)
        cut = max(threshold, quantile(benign_[set_on[1]], BENIGN_RATE))
        named = data.near.flags[: len(near)], data.benign.flags
        for out, scores, used, flags in zip(flagged, (near, benign_), set_on, named, strict=True):
            out[~used] = (scores >= least(flags, threshold, cut, facts=facts))[~used]
    return flagged


def _mean(values: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    return float(values.mean()) if len(values) else None


def numbered(spec: GuardSpec, normalizer: Normalizer) -> tuple[FittedName, ...]:
    """All names of a policy; names that fold alike share a number, an alias wins, then what comes first."""
    numbers: dict[str, int] = {}
    found: dict[int, FittedName] = {}
    for entity, item in enumerate(spec.entities):
        listed: tuple[tuple[NameKind, Sequence[str]], ...] = (
            ("alias", (item.name, *item.aliases)),
            ("title", item.titles),
            ("related", item.related),
            ("title", quoted_titles(_about(spec, entity))),
        )
        for kind, text in ((kind, text) for kind, texts in listed for text in texts):
            number = numbers.setdefault(" ".join(normalizer.words(text)), len(numbers))
            if number not in found or (kind == "alias" and found[number].kind != "alias"):
                found[number] = FittedName(text, entity, kind, number)
    return tuple(found.values())


def _about(spec: GuardSpec, entity: int) -> list[str]:
    """Examples and passages that name an entity."""
    item = spec.entities[entity]
    called = [name.casefold() for name in (item.name, *item.aliases)]
    texts = [*(f"{e.question} {e.answer}" for e in spec.examples), *spec.passages]
    return [text for text in texts if any(name in text.casefold() for name in called)]


def _part(
    spec: GuardSpec,
    names: tuple[FittedName, ...],
    together: tuple[tuple[int, int], ...],
    reader: Reader,
    model: Standard,
    threshold: float,
    attributes: tuple[dict[str, float], ...],
    figures: dict[str, Any],
) -> FittedPart:
    return FittedPart(
        granularity=spec.granularity,
        encoder=ENCODER,
        fingerprint=reader.encoder.fingerprint,
        names=names,
        together=together,
        weights=model.weights,
        bias=model.bias,
        boost=model.boost,
        threshold=threshold,
        attributes=attributes,
        figures=figures,
    )


def _unfitted(
    spec: GuardSpec, names: tuple[FittedName, ...], together: tuple[tuple[int, int], ...], reader: Reader
) -> FittedPart:
    """A part without a linear model, for looking up names."""
    nothing = Standard(np.zeros(reader.encoder.dim, np.float32), 0.0, 0.0)
    return _part(spec, names, together, reader, nothing, 0.0, (), {})


def _models(part: FittedPart, reader: Reader) -> Models:
    return Models(
        [part],
        AliasIndex(indexed([part]), reader.normalizer, reader.encoder.vocabulary, english_words()),
        reader.encoder.dim,
    )


def _pairs(models: Models, near: Sequence[Reading], benign_: Sequence[Reading]) -> tuple[tuple[int, int], ...]:
    """Pairs of related names that neighbours hold together, and each one with itself that any harmless text holds."""
    related = {name.number for name in models.index.names if name.kind != "alias"}
    pairs: set[tuple[int, int]] = set()
    for readings, alone in ((near, False), (benign_, True)):
        for reading in readings:
            numbers = sorted({f.number for f in models.names(reading).get(0, ())} & related)
            pairs.update((a, b) for i, a in enumerate(numbers) for b in numbers[i:] if a == b or not alone)
    return tuple(sorted(pairs))


def _nameless(texts: Sequence[str], readings: Sequence[Reading], models: Models, reader: Reader) -> list[Reading]:
    """Readings of the texts with white space in the place of the policy's names."""
    found = []
    for text, reading in zip(texts, readings, strict=True):
        blank = text
        for name in models.names(reading).get(0, ()):
            blank = blank[: name.start] + " " * (name.end - name.start) + blank[name.end :]
        found.append(reading if blank == text else reader.read(blank))
    return found
