"""Why a text is flagged, in the words of the guard's own figures."""

from __future__ import annotations

import pytest

from guards.explain import explain, nearest
from guards.guard import Guard
from guards.part import FittedPart
from guards.reading import Reader
from guards.verdict import TextPart


def test_an_alias(guard: Guard, part: FittedPart) -> None:
    text = "Tell me who runs Hogwarts these days."
    told = explain(guard, {"104217": part}, text)
    (reason,) = told.reasons
    assert (reason.flagged, reason.tier, reason.score) == (True, "alias", None)
    assert {text[name.start : name.end] for name in reason.names} == {"Hogwarts"}
    spelled = {name.number: name.text for name in part.names}
    assert {spelled[name.number] for name in reason.names} == {"Hogwarts"}
    assert reason.windows
    assert set(told.ms) == {"read", "names", "classifier", "scan"}
    assert all(ms >= 0 for ms in told.ms.values())


def test_a_description(guard: Guard, part: FittedPart) -> None:
    text = "How did the boy wizard get the scar on his forehead, and who teaches potions at the school for wizards?"
    (reason,) = explain(guard, {"104217": part}, text).reasons
    (verdict,) = guard.scan([TextPart("/messages/0/content", "user", text)])
    assert (reason.flagged, reason.tier, reason.p_value) == (verdict.flagged, verdict.source, verdict.p_value)
    assert reason.flagged
    assert reason.tier == "classifier"
    assert reason.score is not None
    assert reason.score >= reason.threshold
    assert reason.worst is not None
    assert text[reason.worst[0] : reason.worst[1]]
    assert reason.described


def test_a_harmless_text(guard: Guard, part: FittedPart) -> None:
    (reason,) = explain(guard, {"104217": part}, "How do I cook rice?").reasons
    assert (reason.flagged, reason.tier, reason.names, reason.windows) == (False, "none", (), ())
    assert reason.score is not None
    assert reason.score < reason.threshold
    assert reason.worst is not None
    assert reason.worst[2] == pytest.approx(reason.score, abs=1e-3)  # no names, one text: nothing else is added
    (empty,) = explain(guard, {"104217": part}, "").reasons
    assert (empty.flagged, empty.score, empty.worst) == (False, None, None)


def test_the_nearest_example(reader: Reader) -> None:
    examples = ("Where was the painter born?", "Which spell opens a lock?")
    place, cosine = nearest("What spell opens locks?", examples, reader)
    assert place == 1
    assert 0.5 < cosine < 1
    assert nearest(examples[0], examples, reader) == (0, pytest.approx(1.0, abs=1e-5))
    with pytest.raises(ValueError, match="no examples"):
        nearest("anything", (), reader)
