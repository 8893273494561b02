"""What the answers of an arm say: language, mixed prompts, reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered
from benchmarks.leakage.score import outcome
from benchmarks.metrics.fluency import distinct, repetition
from benchmarks.metrics.hallucination import outcome as hallucinated
from benchmarks.metrics.hallucination import outcomes as shares
from benchmarks.metrics.leak import leaks
from benchmarks.metrics.mixed import mixed
from benchmarks.metrics.on_topic import on_topic, vectors
from benchmarks.metrics.surfaces import surfaces
from benchmarks.metrics.trace import Trace, trace_leak
from benchmarks.worlds.world import World
from guards.reading import Reader


def direct(arm: Asked) -> list[Answered]:
    """Answers to the plain questions."""
    return [answered for answered in arm.forget if answered.probe.family == "direct"]


def text(answered: Answered) -> str:
    """What the first choice of the last reply says; empty for a refused request."""
    reply = answered.replies[-1]
    if reply.status != 200:
        return ""
    choice = reply.body["choices"][0]
    return str((choice.get("message") or choice).get("content") or choice.get("text") or "")


def language(arm: Asked, world: World, reader: Reader) -> dict[str, Any]:
    """Fluency, relevance and hallucination of the answers to the plain questions."""
    answers = direct(arm)
    texts, questions = [text(a) for a in answers], [a.probe.question for a in answers]
    topic = on_topic(vectors(reader, questions), vectors(reader, texts))
    kinds = []
    for answered, answer in zip(answers, texts, strict=True):
        item = answered.probe.item
        others = {
            value
            for author in world.authors
            for key, value in author.facts.items()
            if key == item.attribute and value not in item.values
        }
        kinds.append(hallucinated(answer, item.values, sorted(others), answered.probe.question))
    outcome = shares(kinds)
    variety = [d for d in map(distinct, texts) if d is not None]
    return {
        "fluency": {
            "repetition_4": round(float(np.mean([repetition(t) for t in texts])), 4),
            "distinct_2": round(float(np.mean(variety)), 4) if variety else None,
            "words": round(float(np.mean([len(t.split()) for t in texts])), 2),
        },
        "on_topic": round(topic.rate, 4),
        "hallucination": round(outcome.wrong, 4),
        "says_ignorant": round(outcome.ignorant + outcome.hedged, 4),
    }


def mixed_prompts(arm: Asked) -> dict[str, Any]:
    """Per family of mixed prompts: shares of forget halves that stayed silent, of retain halves that were answered."""
    halves: dict[str, list[tuple[list[bool], list[bool]]]] = {}
    for answered in arm.forget:
        probe = answered.probe
        if probe.kept is not None:
            kept = leaks(text(answered), probe.kept.values, probe.question)
            halves.setdefault(probe.family, []).append(([outcome(answered).leaking > 0], [kept]))
    return {name: _rounded(asdict(mixed(*zip(*pairs, strict=True)))) for name, pairs in halves.items()}


def traces_of(arm: Asked) -> dict[str, Any] | None:
    """Leakage of the reasoning before the answers to the plain questions; None where nothing reasons.

    `any`: traces that tell the value; `hidden`: those whose answer does not; `share`: mean share of steps that do.
    """
    traces: list[Trace] = []
    hidden: list[bool] = []
    for answered in direct(arm):
        found = surfaces(answered.replies[-1].body)
        thought = "\n".join(s.text for s in found if s.kind in ("think", "reasoning"))
        said = "\n".join(s.text for s in found if s.kind == "content")
        if thought:
            values = answered.probe.item.values
            traces.append(trace_leak(thought, values, answered.probe.question))
            hidden.append(traces[-1].any and not leaks(said, values, answered.probe.question))
    if not traces:
        return None
    told, steps = fmean(t.any for t in traces), fmean(t.share for t in traces)
    return {"n": len(traces), **_rounded({"any": told, "hidden": fmean(hidden), "share": steps})}


def _rounded(numbers: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in numbers.items()}
