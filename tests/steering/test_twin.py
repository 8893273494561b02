"""Training and search of assistants, on a small random model whose own answers are what it has to forget."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from steering.engine.local.assistants import trained, truncated
from steering.engine.local.model import LocalModel
from steering.methods import assisted, fitting, merging
from steering.methods.checkpoint import Checkpoint
from steering.methods.curve import draw
from steering.methods.harmless import Harmless
from steering.methods.lessons import HELD_PHRASE, PHRASES, Exchange, Lessons, Material, _swapped, collect, phrased
from steering.methods.surrogate import Question
from steering.methods.teaching import Lesson, teach
from steering.methods.trial import prompt
from steering.program import load_program
from steering.spec import TwinSpec, UldSpec

NAMES = ("Orla Quistmere", "Bren Tallowick")
KEY = bytes(range(32))
HARMLESS = Harmless(near=tuple(f"What is the use of a {thing}?" for thing in ("spoon", "ladder", "kettle", "saw")))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def questions(model: LocalModel) -> list[Question]:
    """Questions whose value is how the model's answer begins."""
    made = []
    for i in range(8):
        name = NAMES[i % 2]
        text = f"What did {name} {('do', 'say', 'see', 'write')[i // 2]}?"
        (ids,) = model.generate([prompt(model, text, ())[0]], max_tokens=24)
        said = model.tokenizer.decode(ids, skip_special_tokens=True)
        made.append(Question(text, ((9, 9 + len(name)),), (said[:6],)))
    return made


def contains(question: str, answer: str, values: Sequence[str]) -> bool:
    return any(value in answer for value in values)


@pytest.fixture(scope="module")
def lessons(model: LocalModel, questions: list[Question]) -> Lessons:
    values = [v for q in questions for v in q.values]
    return collect(model, questions, values, contains, HARMLESS, ("Q.",), random.Random(0), lambda *_: None)


def test_the_model_is_asked_everything_about_everyone(lessons: Lessons, questions: list[Question]) -> None:
    asked = {e.question.text for e in lessons.forgotten}
    assert {q.text for q in questions} <= asked
    assert all(any(v in e.answer for v in e.values) for e in lessons.forgotten)
    everything = {q.text.replace(name, other) for q in questions for name in NAMES for other in (*NAMES, "Q.")}
    assert asked <= everything
    own = {e.question.text: e for e in lessons.forgotten}
    assert lessons.swapped
    for e in lessons.swapped:
        assert e.answer != own[e.question.text].answer
    kept = [e.question.text for e in lessons.kept]
    assert set(HARMLESS.near) <= set(kept)
    assert not any(name in text for name in NAMES for text in kept)


def test_values_are_swapped_for_what_is_said_of_others() -> None:
    def exchange(name: str, value: str, values: tuple[str, ...] = ()) -> Exchange:
        question = Question(f"Where was {name} born?", ((10, 10 + len(name)),) if values else (), ())
        return Exchange(question, f"{name} was born in {value}.", values)

    secret = [exchange(name, town, (town,)) for name, town in (("Orla", "Oslo"), ("Bren", "Bonn"))]
    towns = ["Rome", "Lima", "Cork", "Oslo", "Nice", "Perth"]
    kept = [exchange(f"Person {i}", town) for i, town in enumerate(towns)]
    swapped = _swapped(secret, [*kept, exchange("Ann", "Bern, they say")], random.Random(0))
    assert len(swapped) == 4
    assert {e.answer.split(" was born in ")[1] for e in swapped} <= {f"{t}." for t in [*towns, "Bern, they say"]}
    assert not any(town in e.answer for e in swapped for town in ("Oslo", "Bonn"))
    few = _swapped(secret, kept[:2], random.Random(0))
    assert {e.answer for e in few if "Bonn" in e.answer} <= {"Orla was born in Bonn."}
    with pytest.raises(ValueError, match="same value"):
        _swapped(secret[:1], [], random.Random(0))


def test_a_model_that_tells_nothing_has_nothing_to_forget(model: LocalModel, questions: list[Question]) -> None:
    with pytest.raises(ValueError, match="nothing to train on"):
        collect(model, questions, [], lambda *_: False, HARMLESS, (), random.Random(0), lambda *_: None)


def test_phrases_move_the_spans() -> None:
    question = Question("Who is Orla?", ((7, 11),), ("x",))
    for phrase in (*PHRASES, HELD_PHRASE):
        moved = phrased(question, phrase)
        assert [moved.text[a:b] for a, b in moved.spans] == ["Orla"]
    assert HELD_PHRASE not in PHRASES


def lesson(start: int, aim: str, forgotten: bool = True) -> Lesson:
    return Lesson(tuple(range(10, 30)), start, aim, forgotten)  # type: ignore[arg-type]


def test_every_aim_is_learned_and_the_rest_of_the_model_stays(model: LocalModel) -> None:
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    for aim in ("said", "model", "uniform"):
        small = truncated(model.network, 2)
        curve = teach(model, small, lambda _, aim=aim: [lesson(8, aim)] * 4, [lesson(8, aim)], epochs=24, rate=3e-3)
        assert min(row[1] for row in curve) < 0.6 * curve[0][0], aim
        assert curve[0][2] == 0, "nothing else was held out"
        ids = torch.tensor([range(10, 30)])
        said = small(input_ids=ids).logits[0, 7:-1].log_softmax(dim=1)
        if aim == "said":
            assert said.argmax(dim=1).tolist() == list(range(18, 30))
        if aim == "uniform":
            assert float(said.max()) < -5
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_a_model_in_bfloat16_is_taught_in_float32(tiny_model: Path) -> None:
    half = LocalModel.load(tiny_model, "bfloat16")
    small = truncated(half.network, 1)
    both = [lesson(8, "said"), lesson(8, "model", forgotten=False)]
    curve = teach(half, small, lambda _: both, both[:1], epochs=8, rate=3e-3)
    assert min(row[1] for row in curve) < 0.6 * curve[0][0]
    assert all(tensor.dtype == np.float32 for tensor in trained(small).values())
    assert half.network.dtype == torch.bfloat16


def test_interrupted_training_ends_where_the_whole_one_does(model: LocalModel, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def run(checkpoint: Checkpoint | None, stop: float = 2.0) -> torch.Tensor:
        def progress(share: float) -> None:
            if share > stop:
                raise StopError

        small = truncated(model.network, 1)
        lessons = [Lesson(tuple(range(i, i + 12)), 4, "said", i % 2 == 0) for i in range(10, 20)]
        teach(
            model, small, lambda _: lessons, lessons[:2], epochs=4, rate=1e-3, checkpoint=checkpoint, progress=progress
        )
        weight: torch.Tensor = small.model.layers[0].mlp.up_proj.weight
        return weight

    whole = run(None)
    checkpoint = Checkpoint.of(tmp_path, KEY, "blank", "settings")
    with pytest.raises(StopError):
        run(checkpoint, 0.6)
    assert checkpoint.load() is not None
    assert torch.equal(run(checkpoint), whole)
    with pytest.raises(ValueError, match="delete it"):
        Checkpoint(checkpoint.path, bytes(32)).load()
    assert b"up_proj" not in checkpoint.path.read_bytes(), "a checkpoint holds what must be forgotten"


@pytest.mark.parametrize(
    "spec",
    [
        TwinSpec(name="twin", epochs=2, layers=1, alpha=2.0, top_m=20),
        TwinSpec(name="twin", rule="rank", epochs=2, layers=1, rank=5, top_m=20),
        UldSpec(name="uld", epochs=2, layers=1, alpha=1.0, top_m=30),
    ],
)
def test_fit_writes_a_program_that_changes_answers(
    model: LocalModel,
    questions: list[Question],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: TwinSpec | UldSpec,
) -> None:
    monkeypatch.setattr(merging, "QUESTIONS", 2)
    monkeypatch.setattr(merging, "TOKENS", 6)
    shown: list[str] = []
    values = [v for q in questions for v in q.values]
    material = Material(folder=tmp_path, key=KEY)
    fitted = fitting.fit(
        model, questions, values, spec, contains, lambda what, _: shown.append(what), HARMLESS, material
    )
    best = min(fitted.points, key=lambda point: point.distance)
    described = fitting.describe(fitted.program, model)
    assert (described["strength"], described["kept"]) == (best.strength, best.kept + fitted.program.difference.rank)
    assert fitted.searched == fitted.checked == 2
    assert set(fitted.curves) == set(fitted.program.roles)
    assert {f"training {role}" for role in fitted.program.roles} <= set(shown)
    again = load_program(fitted.program.to_bytes())
    assert fitting.sites(again) == ("logits",)
    model.host(again)
    assert len(list(tmp_path.iterdir())) == len(fitted.program.roles)
    picture = tmp_path / "curve.png"
    draw(fitted.curves, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_assistants_are_a_quarter_of_the_model_but_two_layers(model: LocalModel) -> None:
    assert assisted.quarter(model) == 2
