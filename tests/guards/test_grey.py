"""The second look at requests that are nearly flagged. WordLlama serves as the second encoder where any will do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from guards.benign import benign
from guards.calibrate import Corpus
from guards.encoder import load_encoder
from guards.fit import fit
from guards.grey import GREY, SHARE
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.part import FittedName, FittedPart, PartError
from guards.samples import Sample
from guards.second import SecondModels
from guards.spec import GuardSpec
from guards.threshold import NO_THRESHOLD
from guards.verdict import Span, TextPart, Verdict
from guards.whole import LONGEST, Whole
from steering.weights import folder_of

ALPHA, COUNT = 0.04, 1000
NUMBER = "104217"
COMMON = ("London", "Wood", "King", "Rose", "Black")
"""Related names that many harmless texts hold."""


def quiet(_step: str, _share: float) -> None:
    """Progress that nobody watches."""


def user(*texts: str) -> list[TextPart]:
    return [TextPart(f"/messages/{i}/content", "user", text) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def twice(shared: Shared) -> Shared:
    """With few harmless texts, so that all of them can be asked."""
    few = Corpus.read(shared.reader, [b for b in benign("calibration") if not b.document][:COUNT])
    return Shared(shared.reader, few, whole=Whole(load_encoder("wordllama"), Normalizer()))


@pytest.fixture(scope="module")
def part2(spec: GuardSpec, twice: Shared, tmp_path_factory: pytest.TempPathFactory) -> FittedPart:
    folder = tmp_path_factory.mktemp("policy")
    part = FittedPart.from_bytes(fit(spec, folder, key=b"test key", progress=quiet, whole=twice.whole).to_bytes())
    assert part.second is not None
    # as of a policy without neighbours: the calibration alone decides
    return replace(part, second=replace(part.second, threshold=NO_THRESHOLD))


@pytest.fixture(scope="module")
def looking(part2: FittedPart, twice: Shared) -> Guard:
    return Guard.from_parts({NUMBER: part2.to_bytes()}, alpha=ALPHA, shared=twice)


@pytest.fixture(scope="module")
def found(looking: Guard) -> Callable[..., Verdict]:
    return lambda *texts: looking.scan(user(*texts))[0]


ASKED = tuple(
    f"{start} {what}?"
    for start in ("Tell me,", "Please say:", "Hello,", "I wonder,")
    for what in (
        "who teaches the young wizards",
        "where does the boy sleep before school begins",
        "who sits beside the boy on the train to the school",
        "what does the owl bring on the birthday",
        "which game is played on brooms",
        "who is the dark lord afraid of",
        "what does the hat sing about",
        "who guards the prison",
    )
)


def test_of_harmless_requests_few_are_read_and_fewer_flagged(twice: Shared, found: Callable[..., Verdict]) -> None:
    """On the calibration texts themselves the rates hold to the last text."""
    verdicts = [found(b.text) for b in twice.corpus.texts]
    assert 0 < sum(v.second for v in verdicts) <= GREY * len(verdicts) + 1
    assert sum(v.source == "second" for v in verdicts) <= ALPHA * SHARE * len(verdicts) + 1
    assert sum(v.source == "classifier" for v in verdicts) <= ALPHA * (1 - SHARE) * len(verdicts) + 1


def test_it_adds_verdicts_and_takes_none_back(
    part2: FittedPart, twice: Shared, looking: Guard, found: Callable[..., Verdict]
) -> None:
    alone = replace(twice, whole=None)
    first = Guard.from_parts({NUMBER: part2.to_bytes()}, alpha=ALPHA * (1 - SHARE), shared=alone)
    before = [first.scan(user(text))[0] for text in ASKED]
    after = [found(text) for text in ASKED]
    assert all(b.flagged <= a.flagged for b, a in zip(before, after, strict=True))
    assert not any(v.second for v in before)  # without a second encoder its model is not used
    added = [(text, v) for text, v in zip(ASKED, after, strict=True) if v.source == "second"]
    assert added
    for text, verdict in added:
        assert verdict.second
        assert verdict.p_value <= ALPHA * SHARE
        assert verdict.windows == verdict.described == (Span(0, 0, len(text)),)
        # in a conversation the text is found where it stands
        whole = looking.scan(user("Good morning.", text))[0]
        assert whole.source != "second" or whole.windows == (Span(1, 0, len(text)),)


def test_what_the_first_look_flags_costs_no_second_one(twice: Shared, looking: Guard) -> None:
    assert twice.whole is not None
    asked: list[str] = []
    text = "Who wrote the Harry Potter books?"
    assert looking.looks_twice == (NUMBER,)
    (verdict,) = looking.scan(user(text))
    assert (verdict.source, verdict.second) == ("alias", False)
    twice.whole.vectors([text], lambda: asked.append(text))
    assert asked, "nobody had read it with the second encoder"


def test_long_texts_get_no_second_look(found: Callable[..., Verdict]) -> None:
    short = next(text for text in ASKED if found(text).second)
    long = f"{short}\n{'The weather was fine that day. ' * 40}"
    assert len(long) > LONGEST
    assert not found(long).second


def test_conversations_are_read_as_the_calibration_reads_them(twice: Shared, part2: FittedPart) -> None:
    """A name in one text, or a window over two of them, brings no other text into the zone."""
    names = (*part2.names, *(FittedName(name, 0, "related", 900 + i) for i, name in enumerate(COMMON)))
    part = replace(part2, names=names, boost=1.0)
    guard = Guard.from_parts({NUMBER: part.to_bytes()}, alpha=ALPHA, shared=twice)
    grey = guard._grey
    assert grey is not None

    def unusual(*texts: str) -> set[str]:
        parts = user(*texts)
        request = guard._texts.weighed(parts)
        return {texts[n] for n in grey._unusual(request, parts, [0], grey.floors()).get(0, ())}

    asked = [item.text for item in twice.corpus.texts[:400]]
    runs = [asked[at : at + 4] for at in range(0, len(asked) - 4, 2)]
    alone = {text: unusual(text) for text in asked}
    assert any(alone.values())
    for run in runs:
        assert unusual(*run) <= set().union(*(alone[text] for text in run))


def test_policies_about_facts_have_no_second_model(spec: GuardSpec, twice: Shared, tmp_path: Path) -> None:
    facts = spec.model_copy(update={"granularity": "facts"})
    assert fit(facts, tmp_path, key=b"k", progress=quiet, whole=twice.whole).second is None


def test_what_was_fitted_must_fit(part2: FittedPart, twice: Shared) -> None:
    assert part2.second is not None
    other = replace(part2, second=replace(part2.second, fingerprint="minilm 0"))
    with pytest.raises(PartError, match=r"second encoder minilm 0, but `guard\.second` is wordllama .* compile"):
        Guard.from_parts({NUMBER: other.to_bytes()}, alpha=ALPHA, shared=twice)
    assert Guard.from_parts({NUMBER: part2.to_bytes()}, alpha=0.5, shared=twice).scan(user("Good morning."))
    broken = replace(part2, second=replace(part2.second, bias=float("nan")))
    with pytest.raises(PartError, match="not finite"):
        FittedPart.from_bytes(broken.to_bytes())


def test_own_traffic_counts(part2: FittedPart, twice: Shared, found: Callable[..., Verdict]) -> None:
    """What an operator is asked every day gets no verdict by a second look either."""
    text = next(text for text in ASKED if found(text).source == "second")

    def flagged(*own: str) -> bool:
        samples: list[Sample] = [tuple(user(one)) for one in own]
        guard = Guard.from_parts({NUMBER: part2.to_bytes()}, alpha=ALPHA, shared=twice, samples=samples)
        return guard.scan(user(text))[0].flagged

    usual = [b.text for b in benign("fit", requests=2000) if not b.document]
    assert not flagged(*usual, *(f"{text} Answer in {n} words." for n in range(60)))


def test_vectors_are_remembered_and_bounded() -> None:
    whole = Whole(load_encoder("wordllama"), Normalizer(), capacity=3)
    read: list[None] = []

    def done() -> None:
        read.append(None)

    one = whole.vectors(["a river", "a bridge", "a river"], done)
    assert len(read) == 2
    assert np.allclose(np.linalg.norm(one, axis=1), 1)
    assert (one[0] == one[2]).all()
    assert (whole.vectors(["a bridge"], done)[0] == one[1]).all()
    assert len(read) == 2
    assert whole.vectors(["", "the sea", "the moon", "the sun"], done).shape == (4, one.shape[1])
    assert (whole.vectors(["a river"], done)[0] == one[0]).all()
    assert len(read) == 7  # the two were forgotten for the four


def test_minilm_tells_descriptions_from_harmless_requests(spec: GuardSpec, tmp_path: Path) -> None:
    if importlib.util.find_spec("onnxruntime") is None or not folder_of("minilm").is_dir():
        pytest.skip("needs onnxruntime and the files of `lethe models fetch minilm`")
    whole = Whole(load_encoder(f"minilm:{folder_of('minilm')}"), Normalizer())
    part = fit(spec, tmp_path, key=b"test key", progress=quiet, whole=whole)
    models = SecondModels([part], whole)
    harmless = models.scores([b.text for b in benign("calibration")[:300]])[:, 0]
    assert (models.scores(ASKED)[:, :1] > harmless).mean() > 0.9  # area under the curve
