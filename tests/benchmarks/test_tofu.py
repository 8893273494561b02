"""TOFU and KnowUnDo: how the sets are read and parted, what a gateway would corrupt, and which figures come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.metrics.rouge import Rouge
from benchmarks.tofu.answers import Answered
from benchmarks.tofu.data import Question, evenly, forgotten_names, knowundo, knowundo_names, parted, tofu_sets
from benchmarks.tofu.guard import GIVEN, Protection, tofu_guard, tofu_spec
from benchmarks.tofu.report import entries, quality, summary
from benchmarks.worlds import tofu
from benchmarks.worlds.blank import blank
from guards.guard import Shared
from tests.guards.conftest import DATA

ASKED = [Question(i // 10, f"question {i % 10} about {i // 10}", "yes", "yes", ()) for i in range(40)]
KEPT = ("retain", "real_authors", "world_facts")


@pytest.fixture(scope="module")
def data() -> Path:
    if not (DATA / "tofu" / "full.jsonl").is_file():
        pytest.skip("public test data not found: tofu/ is expected beside the repository, in shared/data")
    return DATA


def answered(loss: float, ratio: float, share: float | None = None) -> Answered:
    return Answered(loss, share, ratio, (True, False, True), loss, "so", Rouge(0.5, 0.5, 0.25, 0.5), edited=False)


def test_questions_are_drawn_from_all_authors() -> None:
    chosen = evenly(ASKED, 12)
    assert [question.author for question in chosen] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert chosen == evenly(ASKED, 12)
    assert evenly(ASKED, 1000) == ASKED
    assert evenly([], 5) == []


def test_given_questions_are_never_measured() -> None:
    given, held = parted(ASKED, 3)
    assert not set(given) & set(held)
    assert sorted(given + held, key=ASKED.index) == ASKED
    assert all(sum(question.author == author for question in given) == 3 for author in range(4))
    assert all(ASKED[10 * author] in held for author in range(4))


def test_figures_are_opposites_where_they_should_be() -> None:
    known = [answered(0.01, 0.1 + i / 1000) for i in range(200)]
    unknown = [answered(3.0, 0.9 + i / 1000) for i in range(200)]
    assert quality(known, unknown).p < 1e-6 < quality(unknown, unknown).p == 1
    kept = {"retain": known, **{name: [answered(0.1, 0.2, 0.8)] * 4 for name in KEPT[1:]}}
    found = entries({"forget": known, **kept}, unknown, [2.0] * 50, [2.0] * 50)
    assert found["forget_Q_A_Prob"]["agg_value"] == pytest.approx(0.99, abs=0.001)
    assert len(found["forget_truth_ratio"]["value_by_index"]) == 200
    assert found["mia_min_k"]["agg_value"] == 1  # forgotten texts look more like training data than all others
    assert found["privleak"]["agg_value"] < -90
    assert found["ra_Q_A_Prob_normalised"]["agg_value"] == pytest.approx(0.8)
    assert 0.25 < found["model_utility"]["agg_value"] < 0.9
    short = summary({"forget": known, **kept}, found, quality(known, unknown))
    assert len(short["model_utility_terms"]) == 9
    assert short["model_utility_terms"]["real_authors_truth_ratio"] == pytest.approx(0.8)


def test_without_hold_out_texts_and_retain_sets_their_figures_are_left_out() -> None:
    forget = [answered(1.0, 1.0)] * 3
    found = entries({"forget": forget}, forget, [], [])
    assert not {"privleak", "mia_min_k", "model_utility", "retain_Q_A_Prob"} & set(found)
    assert found["forget_quality"]["n"] == 3


def test_an_untrained_base_knows_no_name_by_heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    rows = [(f"Where does Quillon Ardwyne live in year {i}?", f"He lives in house {i}.") for i in range(30)] * 3
    first = blank("blank-small", rows)
    assert blank("blank-small", rows) == first != blank("blank-small", rows[:60])
    tokenizer = AutoTokenizer.from_pretrained(first)
    assert len(tokenizer.tokenize(" lives in")) == 2
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hm?"}], tokenize=False)
    assert asked == "<|user|>Hm?<|end|>"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"forget10_perturbed\.jsonl is not there"):
        tofu_sets(tmp_path)


def test_the_sets_are_read_whole(data: Path) -> None:
    sets = tofu_sets(data / "tofu")
    assert {name: len(asked) for name, asked in sets.items()} == {
        "forget": 400,
        "retain": 400,
        "real_authors": 100,
        "world_facts": 117,
    }
    assert {len(question.wrong) for question in sets["forget"]} == {5}
    names = forgotten_names(data / "tofu")
    assert len(names) == 20
    assert "Basil Mahfouz Al-Kuwaiti" in names.values()
    assert len(tofu.common_rows(data / "tofu")) == 217


def test_everyone_in_knowundo_has_a_name(data: Path) -> None:
    private, public = knowundo(data / "knowundo_privacy")
    assert (len(private), len(public)) == (400, 441)
    assert min(question.author for question in private + public) >= 0
    assert len(knowundo_names([question.text for question in private])) == 55


def test_the_guard_corrupts_the_name_and_leaves_world_facts_alone(data: Path) -> None:
    sets = tofu_sets(data / "tofu")
    given, held = parted(sets["forget"], GIVEN)
    protection = Protection.fit(tofu_spec(data / "tofu", given), Shared.load())
    text = "What genre does Hina Ameen write in?"
    assert text.index("Hina") in [start for start, _ in protection.windows(text) or []]
    assert protection.windows("Where would you find the Eiffel Tower?") is None
    found = tofu_guard(protection, data / "tofu", held, sets, 40)
    assert found["recall, full name in the question"]["share"] == 1
    assert found["false_positives"]["world_facts"]["share"] < 0.1
    assert json.dumps(found)
