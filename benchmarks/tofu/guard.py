"""The guard alone: how much of what must be forgotten it recognises, and how much it wrongly flags. No model is needed.

An operator knows the names, and some questions about every person; the rest of the questions is measured. KnowUnDo
asks for more than names can give: private facts are to be unlearned and public ones about the same person are to be
kept. A policy of granularity `entity` flags every question with a name by design, so its rate on public questions is
over-refusal that no threshold mends; granularity `facts`, where the name is evidence only, is measured beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.forgetting import rate
from benchmarks.tofu.data import Question, evenly, forgotten_names, kept_questions, knowundo, knowundo_names, parted
from gateway.conversation import Conversation
from gateway.decision import ActivePolicy, Intervene, decide
from gateway.masking import DOSE
from gateway.policy import Rules
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.spec import Entity, Example, GuardSpec
from steering.engine.local.model import Edit, LocalModel
from steering.methods.trial import prompt
from steering.program import Program

ALPHA = 0.005
"""Share of harmless requests that may be flagged: the gateway's default."""
GIVEN = 5
"""Questions per person that the operator knows; no figure is taken on them."""
NEIGHBOURS, OTHERS = range(20, 40), range(40, 180)
"""TOFU authors whose questions the operator gives as harmless, and further ones that nobody has seen. TOFU's own retain
set holds the authors 0 to 19."""
NUMBER, POINTER = "100000", "/messages/0/content"
Granularity = Literal["entity", "facts"]


@dataclass(frozen=True, slots=True)
class Protection:
    """A fitted guard, with the decision that a gateway takes on its verdict."""

    guard: Guard

    @classmethod
    def fit(cls, spec: GuardSpec, shared: Shared) -> Protection:
        """Fit the guard of one policy. Raises what `guards.fit.fit` raises."""
        part = fit(spec, Path(), key=bytes(32), progress=lambda *_: None)
        return cls(Guard.from_parts({NUMBER: part.to_bytes()}, alpha=ALPHA, shared=shared))

    def windows(self, text: str) -> list[tuple[int, int]] | None:
        """Characters of a one-turn chat that the gateway would have corrupted; None where it passes."""
        conversation = Conversation()
        conversation.add(POINTER, "user", text, maskable=True)
        verdicts = {verdict.policy: verdict for verdict in self.guard.scan(conversation.parts)}
        decision = decide(verdicts, [ActivePolicy(NUMBER, "p", "entities", Rules())], conversation)
        return list(decision.intervention.windows[POINTER]) if isinstance(decision, Intervene) else None

    def edit(self, model: LocalModel, program: Program, text: str, *, always: bool = False) -> Edit | None:
        """What the engine would corrupt in the prompt; `always`: the whole question where the guard passes it."""
        windows = self.windows(text)
        if windows is None and not always:
            return None
        _, spans = prompt(model, text, [(0, len(text))] if windows is None else windows)
        return Edit(program, DOSE, tuple(spans))


def tofu_spec(data: Path, given: Sequence[Question]) -> GuardSpec:
    """Return the policy of an operator who forgets TOFU's last twenty authors."""
    neighbours, _ = parted(kept_questions(data, NEIGHBOURS), GIVEN)
    return _spec(list(forgotten_names(data).values()), given, neighbours, "entity")


def tofu_guard(
    protection: Protection, data: Path, held: Sequence[Question], sets: Mapping[str, Sequence[Question]], items: int
) -> dict[str, Any]:
    """Recall on the forget questions that were not given, false positives on all that must stay."""
    harmless = {
        "retain": sets["retain"],
        "retain, further authors": kept_questions(data, OTHERS),
        "real_authors": sets["real_authors"],
        "world_facts": sets["world_facts"],
    }
    names = forgotten_names(data)
    named = [q for q in held if names[q.author] in q.text]
    nameless = [q for q in held if names[q.author] not in q.text]
    return {
        "recall": flagged(protection, evenly(held, items)),
        "recall, full name in the question": flagged(protection, evenly(named, items)),
        "recall, no full name in the question": flagged(protection, evenly(nameless, items)),
        "false_positives": {name: flagged(protection, evenly(asked, items)) for name, asked in harmless.items()},
    }


def knowundo_guard(data: Path, granularity: Granularity, shared: Shared, items: int) -> dict[str, Any]:
    """Recall on private questions and over-refusal on public ones about the same persons.

    Both granularities are fitted on the same half of the questions, of either kind, and measured on the other.
    """
    private, public = (_halves(side) for side in knowundo(data))
    names = knowundo_names([question.text for side in private for question in side])
    spec = _spec(names, private[0], public[0], granularity)
    protection = Protection.fit(spec, shared)
    return {
        "recall": flagged(protection, evenly(private[1], items)),
        "over_refusal": flagged(protection, evenly(public[1], items)),
    }


def flagged(protection: Protection, questions: Sequence[Question]) -> dict[str, Any]:
    """Hits, n, share and Clopper-Pearson interval of the questions that are flagged."""
    return rate(sum(protection.windows(question.text) is not None for question in questions), len(questions))


def _spec(
    names: Sequence[str], given: Sequence[Question], neighbours: Sequence[Question], granularity: Granularity
) -> GuardSpec:
    return GuardSpec(
        granularity=granularity,
        entities=tuple(Entity(name=name, related=_family(name)) for name in names),
        examples=tuple(Example(question=question.text, answer=question.answer) for question in given),
        retain=tuple(question.text for question in neighbours),
    )


def _family(name: str) -> tuple[str, ...]:
    last = name.rsplit(maxsplit=1)[-1]
    return (last,) if len(last) >= 4 else ()


def _halves(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """Every second question of a person, and the others."""
    seen: dict[int, int] = {}
    sides: tuple[list[Question], list[Question]] = ([], [])
    for question in questions:
        turn = seen.get(question.author, 0)
        sides[turn % 2].append(question)
        seen[question.author] = turn + 1
    return sides
