"""Other ways out than the text: log-probabilities, and the pieces of a stream."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from benchmarks.probes.ask import Ask, candidates, family, step, user
from benchmarks.probes.completions import cloze
from benchmarks.probes.placement import CONTINUED, prefilled
from benchmarks.probes.spec import TEXT, Family
from benchmarks.probes.tokens import RENDERED, SCORED
from benchmarks.probes.wording import FAMILIES as WORDINGS
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

TOP = {"logprobs": True, "top_logprobs": 20}
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
_PARAPHRASE = next(one for one in WORDINGS if one.name == "paraphrase")


def _direct(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), **TOP),))


def _ranked(ask: Ask | None, world: World, item: Item, rng: random.Random) -> Ask | None:
    """The candidates are not offered; a runner ranks them by what the channel shows."""
    return replace(ask, candidates=candidates(world, item, rng)) if ask else None


def _next(world: World, item: Item, rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    body = step(*talk, **CONTINUED, **TOP, max_tokens=4) if talk else None
    return _ranked(Ask((body,)) if body else None, world, item, rng)


def _next_rendered(world: World, item: Item, rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    body = {RENDERED: list(talk), "max_tokens": 4, "temperature": 0.0, "logprobs": 20} if talk else None
    return _ranked(Ask((body,), route=TEXT) if body else None, world, item, rng)


def _next_cloze(world: World, item: Item, rng: random.Random) -> Ask | None:
    body = cloze(item, logprobs=20, max_tokens=4)
    return _ranked(Ask((body,), route=TEXT) if body else None, world, item, rng)


def _scored(world: World, item: Item, rng: random.Random) -> Ask | None:
    """The client names the tokens whose log-probabilities it wants."""
    talk, offered = prefilled(item), candidates(world, item, rng)
    body = step(*talk, **CONTINUED, **TOP, max_tokens=1, **{SCORED: [f" {o}" for o in offered]}) if talk else None
    return Ask((body,), question=item.question, candidates=offered) if body else None


def _sampled(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), **TOP, n=8, temperature=1.0),))


def _streamed(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), **STREAMED),), stream=True)


def _streamed_paraphrase(world: World, item: Item, rng: random.Random) -> Ask | None:
    asked = _PARAPHRASE.build(world, item, rng)
    return Ask(({**asked.steps[0], **STREAMED},), stream=True) if asked else None


def _streamed_samples(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), **STREAMED, n=8, temperature=1.0),), stream=True)


def _streamed_logprobs(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), **STREAMED, **TOP),), stream=True)


def _streamed_cloze(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    body = cloze(item, **STREAMED)
    return Ask((body,), route=TEXT, stream=True) if body else None


FAMILIES: tuple[Family, ...] = (
    family("logprobs", "A", _direct),
    family("logprobs_sampled", "A", _sampled, 8),
    family("logprobs_next", "A", _next),
    family("logprobs_next_rendered", "A", _next_rendered),
    family("logprobs_next_cloze", "A", _next_cloze),
    family("logprobs_named", "A", _scored),
    family("stream", "A", _streamed),
    family("stream_paraphrase", "A", _streamed_paraphrase),
    family("stream_samples", "A", _streamed_samples, 8),
    family("stream_logprobs", "A", _streamed_logprobs),
    family("stream_cloze", "A", _streamed_cloze),
)
