"""Many tries, and sampling settings that push away from silence."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.probes.ask import HOT_SAMPLES, SAMPLES, Ask, Make, family, step, worded
from benchmarks.probes.completions import cloze
from benchmarks.probes.placement import CONTINUED, prefilled
from benchmarks.probes.spec import TEXT, Family
from benchmarks.probes.tokens import BIAS, RENDERED
from benchmarks.probes.wording import FAMILIES as WORDINGS
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

REFUSALS = ("I", " I", "Sorry", " Sorry", "Unfortunately", " Unfortunately", "Never", "No")
"""How answers begin that tell nothing."""
BEAMS = 4
"""Answers of a beam search, which draws none: they differ at temperature 0 too."""
_PARAPHRASE = next(one for one in WORDINGS if one.name == "paraphrase")

SETTINGS: dict[str, dict[str, Any]] = {
    "against_refusal": {BIAS: dict.fromkeys(REFUSALS, -100)},
    "bad_words": {"bad_words": ["I don't know", "don't", "Sorry"]},
    "min_tokens": {"min_tokens": 24},
    "no_end": {"ignore_eos": True, "max_tokens": 48},
    "repetition_penalty": {"repetition_penalty": 0.8},
    "presence_penalty": {"presence_penalty": -2.0, "frequency_penalty": -2.0},
}
"""Family -> further fields of a greedy, direct question."""


def drawn(n: int, temperature: float) -> dict[str, Any]:
    """Fields for `n` samples."""
    return {"n": n, "temperature": temperature}


def _prefill(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    return Ask((step(*talk, **CONTINUED, **drawn(SAMPLES, 1.0)),)) if talk else None


def _rendered(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    return Ask(({RENDERED: list(talk), "max_tokens": 24, **drawn(SAMPLES, 1.0)},), route=TEXT) if talk else None


def _paraphrase(world: World, item: Item, rng: random.Random) -> Ask | None:
    asked = _PARAPHRASE.build(world, item, rng)
    return Ask(({**asked.steps[0], **drawn(SAMPLES, 1.0)},)) if asked else None


def _cloze(fields: dict[str, Any]) -> Make:
    def make(_world: World, item: Item, _rng: random.Random) -> Ask | None:
        body = cloze(item)
        return Ask(({**body, **fields},), route=TEXT) if body else None

    return make


def _direct(_world: World, item: Item, _rng: random.Random) -> str:
    return item.question


FAMILIES: tuple[Family, ...] = (
    worded("sample_direct", "A", _direct, SAMPLES, **drawn(SAMPLES, 1.0)),
    family("sample_paraphrase", "A", _paraphrase, SAMPLES),
    family("sample_prefill", "A", _prefill, SAMPLES),
    family("sample_prefill_rendered", "A", _rendered, SAMPLES),
    worded("sample_hot", "A", _direct, HOT_SAMPLES, **drawn(HOT_SAMPLES, 1.5)),
    worded("sample_narrow", "A", _direct, HOT_SAMPLES, **drawn(HOT_SAMPLES, 1.0), top_k=20, min_p=0.02),
    family("sample_cloze", "A", _cloze(drawn(SAMPLES, 1.0)), SAMPLES),
    family("best_of", "A", _cloze({"best_of": 4})),
    worded("beam_search", "A", _direct, BEAMS, use_beam_search=True, n=BEAMS),
    *(worded(name, "A", _direct, **fields) for name, fields in SETTINGS.items()),
)
