"""Texts first, then the fits, then the freeze, then every measurement, in this order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bars import Bar, progress, stepping
from benchmarks.guards import report
from benchmarks.guards.answered import reference_answers
from benchmarks.guards.bounds import false_positives
from benchmarks.guards.case import Case
from benchmarks.guards.fitted import KEY, OTHER_KEY, fit_hash, fitted, fitting_texts
from benchmarks.guards.fleet import fleet, invented
from benchmarks.guards.flips import flips, one_message
from benchmarks.guards.general import documents
from benchmarks.guards.given import given
from benchmarks.guards.overlap import Seen
from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import Scanned, scanned, told_apart
from benchmarks.guards.scripts import QUESTIONS, respelt
from benchmarks.guards.sizes import Sizes, Sources
from benchmarks.guards.speed import speed
from benchmarks.guards.stopped import ARMS, indices, stopped
from benchmarks.guards.suite import suite
from benchmarks.guards.texts import Texts, policies_of, texts_of
from benchmarks.where import where
from gateway.settings import GuardSettings
from guards.benign import benign
from guards.encoder import load_encoder
from guards.guard import Guard, Shared
from guards.output import OutputGuard
from guards.part import FittedPart

FLEET_FAMILIES = frozenset({"direct", "paraphrase", "typo_1", "base64", "composite", "padding_512", "follow_up"})
"""Families of class A that a fleet is asked, with everything of class C."""
FLIPPED = frozenset({"direct", "paraphrase", "alias", "lower", "exam", "tell_me", "statement"})
"""Families of class A whose texts get harmless words; of class C all do."""
LISTED_ROWS = ARMS[-1]
"""What policies list for the output guard: attributes of everything that is to be forgotten of an author."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured, and how much of it. `parts` are the fitted policies."""

    policies: Sequence[Policy]
    parts: Mapping[str, bytes]
    texts: Texts
    shared: Shared
    alpha: float
    sizes: Sizes
    folder: Path | None
    bar: Bar

    def fitted(self, policies: Sequence[Policy], what: str, key: bytes = KEY) -> dict[str, bytes]:
        """Parts of policies."""
        return fitted(policies, key, self.folder, self.bar(what, len(policies)), self.shared.whole)

    def guard(self, parts: Mapping[str, bytes]) -> Guard:
        """The guard of some parts."""
        return Guard.from_parts(parts, alpha=self.alpha, shared=self.shared)


def run(
    sources: Sources,
    sizes: Sizes,
    console: Console,
    alpha: float = GuardSettings().alpha,
    second: str | None = None,
) -> dict[str, Any]:
    """Measure everything; returns what is written as JSON.

    `second` names a second encoder, see `guards.grey`. Raises `FileNotFoundError` for a missing set, `GivenError` for
    unusable requests of somebody else, and what `guards.fit.fit` raises.
    """
    own = given(sources.given) if sources.given else []
    with progress(console) as bars:
        bar = stepping(bars)
        shared = Shared.load(second=load_encoder(second) if second is not None else None)
        policies, items, near = policies_of(sources.data, sizes)
        harmless = [b.text for half in ("fit", "calibration") for b in benign(half)]
        seen = Seen([*harmless, *(shared.prose.texts if shared.prose else ()), *fitting_texts(policies, KEY)])
        read = documents(sources.data, sources.fortunes, sizes.files)
        texts = texts_of(sources, policies, items, near, read, seen, shared, sizes)
        parts = fitted(policies, KEY, sources.parts, bar("fitting", len(policies)), shared.whole)
        frozen = fit_hash(parts, alpha)
        console.print(f"fit_hash {frozen}", f"texts_hash {texts.digest()}", sep="\n", soft_wrap=True)
        bench = Bench(policies, parts, texts, shared, alpha, sizes, sources.parts, bar)
        guard = bench.guard(parts)
        results = scanned(guard, texts.attacks.cases, bar("recall", len(texts.attacks.cases)))
        passing = bar("false positives", len(texts.usual) + sum(map(len, texts.near.values())))
        hits = scanned(guard, texts.usual, passing)
        near_hits = {group: scanned(guard, cases, passing) for group, cases in texts.near.items()}
        results += _listed(bench)
        results = told_apart(results, bench.guard(_without_attributes(parts)), bar("without attributes", len(results)))
        listed = indices(policies, sources.data, LISTED_ROWS, shared, bar("indices", len(policies)))
        answers = reference_answers(sources.data)
        results = stopped(results, OutputGuard(listed), answers, bar("output guard", len(results)))
        flipped = _flips(bench, guard, results)
        fleets = _fleets(bench)
        ten = bench.guard(dict(list(parts.items())[:10]))
        timed = speed(ten, texts.padding, sizes.rounds)
        own_cases = suite([draft for draft, _ in own], Seen(), {}).cases
        own_results = scanned(guard, own_cases, bar("given", len(own_cases))) if own else []
    hardware = where()
    return {
        "what": "guards without HTTP; recall by way of asking, false positives per request; output: reference answers",
        "policies": {
            group: {
                "policies": sum(p.group == group for p in policies),
                "families": report.families(r for r in results if r.case.group == group),
                "fpr": {
                    "general": _by_group(hits, {p.number for p in policies if p.group == group}),
                    **report.kinds(near_hits.get(group, ())),
                },
            }
            for group in dict.fromkeys(p.group for p in policies)
        },
        "general": report.general(texts.general, hits),
        "fleet": fleets,
        "flip": flipped,
        "padding": report.padding_losses(results),
        "ablation": report.ablation(results, second=second is not None),
        "tiers_left_out": report.LEFT_OUT if second is not None else {"onnx": report.ONNX_LEFT_OUT, **report.LEFT_OUT},
        "second_encoder": shared.whole.encoder.fingerprint if shared.whole is not None else None,
        "speed": timed,
        "eval": report.own_rows(list(zip(own_results, (label for _, label in own), strict=True))) if own else None,
        "dropped": dict(texts.dropped),
        "truncated": sum(v.truncated for r in (*results, *hits) for v in r.flagged.values()),
        "alpha": alpha,
        "fit_hash": frozen,
        "texts_hash": texts.digest(),
        "hardware": hardware,
        "commit": hardware["commit"],
    }


def _without_attributes(parts: Mapping[str, bytes]) -> dict[str, bytes]:
    return {number: replace(FittedPart.from_bytes(part), attributes=()).to_bytes() for number, part in parts.items()}


def _listed(bench: Bench) -> list[Scanned]:
    """Class B again, with policies that list the name in every script."""
    again = [_listing(policy) for policy in bench.policies if policy.group == "tofu"]
    others = bench.fitted(again, "fitting, scripts listed")
    cases = [replace(c, family=c.family + report.LISTED) for c in bench.texts.attacks.cases if c.kind == "B"]
    return scanned(bench.guard({**bench.parts, **others}), cases, bench.bar("recall, scripts listed", len(cases)))


def _listing(policy: Policy) -> Policy:
    (entity,) = policy.spec.entities
    spelt = tuple(respelt(entity.name, language) for language in QUESTIONS)
    more = entity.model_copy(update={"aliases": (*entity.aliases, *spelt)})
    return replace(policy, spec=policy.spec.model_copy(update={"entities": (more,)}))


def _flips(bench: Bench, guard: Guard, results: Sequence[Scanned]) -> dict[str, Any]:
    entity = [p for p in bench.policies if p.spec.granularity == "entity"]
    surrogate = bench.guard(bench.fitted(entity, "fitting the surrogate", OTHER_KEY))
    words = sorted({w for w in bench.texts.padding.words if w.isalpha() and w.islower() and len(w) > 3})
    found = {}
    for kind in ("A", "C"):
        able = [r for r in results if r.case.kind == kind and r.caught and one_message(r)]
        able = [r for r in able if kind == "C" or r.case.family in FLIPPED]
        chosen = random.Random(f"flip/{kind}").sample(able, min(bench.sizes.flips, len(able)))
        found[kind] = flips(guard, surrogate, chosen, words, bench.bar(f"flips, class {kind}", len(chosen)))
    return found


def _fleets(bench: Bench) -> dict[str, Any]:
    sizes = bench.sizes
    entity = [p.number for p in bench.policies if p.spec.granularity == "entity"]
    first = {number: bench.parts[number] for number in entity}
    others = invented(max(0, max(sizes.levels) - len(first)), bench.policies[0].spec.retain)
    asked = [c for c in bench.texts.attacks.cases if c.policy in first and _in_fleet(c)]
    usual = random.Random("fleet").sample(list(bench.texts.usual), min(sizes.usual, len(bench.texts.usual)))
    work = min(sizes.fits, len(others)) + len(sizes.levels) * len(usual)
    work += sum(1 for level in sizes.levels for c in asked if c.policy in entity[:level])
    return fleet(
        first,
        others,
        bench.shared,
        bench.alpha,
        usual,
        asked,
        levels=sizes.levels,
        fits=sizes.fits,
        folder=bench.folder,
        done=bench.bar("fleet", work),
    )


def _in_fleet(case: Case) -> bool:
    return case.kind == "C" or case.family in FLEET_FAMILIES


def _by_group(hits: Sequence[Scanned], numbers: set[str]) -> dict[str, Any]:
    """General texts that one group of policies flags."""
    return false_positives([bool(numbers & set(r.flagged)) for r in hits])
