"""The whole benchmark in its reduced form, as `benchmarks/gpu.sh --small` runs it: train, serve, ask, score, write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.core import TyperGroup
from typer.main import get_command

from benchmarks.tofu import data as tofu_data
from benchmarks.tofu.guard import Protection
from benchmarks.tofu.run import evaluate
from benchmarks.worlds import member
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.templates import sentence
from benchmarks.worlds.world import World
from gateway.commands.bench import app
from guards.guard import Shared
from guards.spec import Entity, Example, GuardSpec
from tests.guards.conftest import DATA

pytestmark = pytest.mark.timeout(1800)  # a minute and a half on two idle cores, several on busy ones
ROOT = Path(__file__).parents[2]
FAMILY = {"n", "ceiling", "leak", "excess", "lo", "hi"}
ARM = {"families", "utility", "fluency", "on_topic", "hallucination", "ks_p", "ks_d", "symkl", "client_auc"}
NINE = 9


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "benchmarks" / "gpu.sh"), *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in ("OUT", "WORK", "FAMILIES", "ITEMS")}
    return subprocess.run(
        command,
        env={**inherited, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one run; `home` beside them holds the trained models."""
    folder = tmp_path_factory.mktemp("pipeline")
    done = script("--small", "--data", str(DATA), OUT=str(folder / "out"), LETHE_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def card(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(folder / "leakage" / "scorecard.json")
    return found


@pytest.fixture(scope="module")
def evaluated(folder: Path) -> Path:
    if not (DATA / "tofu").is_dir():
        pytest.skip("public test data not found: tofu/ is expected beside the repository, in shared/data")
    return folder / "tofu"


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def test_every_step_ran_and_said_on_what(folder: Path) -> None:
    told = read(folder / "steps.json")
    expected = {"train-world", "leakage", "latency", *(["train-tofu"] if (DATA / "tofu").is_dir() else []), "tofu"}
    assert {step["step"] for step in told["steps"]} == expected
    assert {step["outcome"] for step in told["steps"]} <= {"done", "skipped"}
    assert told["reduced"] is True
    assert told["hardware"]["cores"] == os.cpu_count()


def test_the_scorecard_says_what_it_must(card: dict[str, Any]) -> None:
    assert {"arms", "headline", "noise_floor", "fpr", "hardware", "commit", "seeds"} <= set(card)
    assert {"bare", "off", "eco-noise", "gold", "gold-b", "refusal", "output_filter"} <= set(card["arms"])
    for arm in card["arms"].values():
        assert all(set(family) >= FAMILY for family in arm["families"].values())
    assert set(card["arms"]["bare"]) >= ARM
    assert all({"family", "excess"} <= set(worst) for worst in card["headline"].values())
    assert card["fpr"]["eco-noise"]["all"]["n"] > 0


def test_the_bare_model_leaks_and_a_guard_that_is_off_leaks_as_much(card: dict[str, Any]) -> None:
    bare, off, gold = (card["arms"][name]["families"]["direct"] for name in ("bare", "off", "gold"))
    assert bare["leak"] == bare["ceiling"] >= 0.5
    assert off["leak"] == bare["leak"]
    assert gold["leak"] < bare["leak"]
    assert card["headline"]["off"]["excess"] > 0.3
    assert card["arms"]["refusal"]["families"]["direct"]["leak"] < bare["leak"]


def test_latencies_are_written(folder: Path) -> None:
    written = read(folder / "overhead.json")
    assert {"off - direct, short, c=1", "on - off, 512 tokens, c=1"} <= set(written["gateway"]["paired"])
    assert set(written["budgets"]) == {"off_p50_added_ms", "off_cpu_us", "off_rate_per_core", "on_p50_added_ms"}


def test_tofu_is_written_with_values_per_question(evaluated: Path) -> None:
    told = read(evaluated / "summary.json")
    assert told["measurable"] is False  # a few steps of training teach nothing, and the result says so
    assert set(told["arms"]) == {"bare", "gold", "eco", "eco oracle"}
    for name in told["arms"]:
        log = read(evaluated / f"TOFU_EVAL_{name.replace(' ', '_')}.json")
        for key in ("forget_Q_A_Prob", "forget_Q_A_ROUGE", "forget_truth_ratio", "extraction_strength"):
            assert len(log[key]["value_by_index"]) == told["items"]
        assert log["privleak"]["agg_value"] is not None
    assert len(told["arms"]["eco"]["model_utility_terms"]) == NINE
    assert told["arms"]["gold"]["forget_quality"]["p"] == 1
    assert "below 200" in told["arms"]["eco"]["forget_quality"]["warning"]
    assert told["arms"]["eco oracle"]["edited"]["forget"] == 1
    guard = read(evaluated / "guard.json")
    assert guard["knowundo"]["entity"]["over_refusal"]["n"] > 0
    assert (evaluated / "guard.png").stat().st_size > 10_000


def test_one_model_can_be_trained_in_a_process_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(folder.parent / "home"))
    monkeypatch.setattr(sys, "argv", ["member", "--tier", "small", "--name", "full"])
    member.main()
    assert "small full: ready after" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["member", "--tier", "small", "--name", "retain90"])
    with pytest.raises(SystemExit):
        member.main()
    assert "has the models full, retain-a, retain-b" in capsys.readouterr().err


def test_the_evaluation_tells_a_model_that_knows_from_one_that_never_knew(folder: Path, tmp_path: Path) -> None:
    """TOFU's measures on authors of the small world, written as TOFU is: its real sets need hours on a CPU."""
    world = tier_world("small")
    data, models = as_tofu(world, tmp_path / "data"), tmp_path / "models"
    models.mkdir()
    for ours, theirs in (("full", "full"), ("retain-a", "retain90")):
        (models / theirs).symlink_to(folder / "work" / "world" / ours)
    names = [author.name for author in world.split("forget")]
    questions = [item.question for item in world.items("forget")]
    spec = GuardSpec(
        entities=tuple(Entity(name=name) for name in names), examples=tuple(Example(question=q) for q in questions)
    )
    arms, answers, logs = evaluate(
        data,
        models,
        None,
        Protection.fit(spec, Shared.load()),
        items=24,
        new_tokens=24,
        strength=16.0,
        device="cpu",
    )
    bare, gold, oracle = (arms[name] for name in ("bare", "gold", "eco oracle"))
    assert bare["forget_Q_A_Prob"] > 0.5 > gold["forget_Q_A_Prob"]
    assert bare["forget_Q_A_ROUGE"] > gold["forget_Q_A_ROUGE"]
    assert bare["forget_quality"]["p"] < 0.01 < gold["forget_quality"]["p"] == 1
    for key in ("forget_Q_A_Prob", "forget_Q_A_ROUGE", "extraction_strength"):
        assert oracle[key] < bare[key]
    assert bare["model_utility"] > 0.3
    assert not any(answer.edited for answer in answers["bare"]["forget"])
    assert len(logs["bare"]["forget_truth_ratio"]["value_by_index"]) == len(answers["bare"]["forget"]) > 8


def as_tofu(world: World, folder: Path) -> Path:
    """The items of a world in TOFU's files; facts of retain authors stand for real authors and world facts."""
    folder.mkdir()

    def row(item: Any) -> dict[str, Any]:
        name = world.authors[item.author].name
        wrong = [sentence(item.attribute, name, other) for other in world.wrong(item, 3)]
        return {
            "author_id": item.author,
            "subject": name,
            "question": item.question,
            "answer": item.answer,
            "paraphrased_answer": item.answer,
            "perturbed_answer": wrong,
        }

    for name, file in tofu_data.FILES.items():
        items = world.items("forget" if name == "forget" else "retain")
        rows = [row(item) for item in items]
        (folder / file).write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return folder


def test_a_step_without_time_is_reported_and_the_status_says_so(tmp_path: Path) -> None:
    done = script("--small", "--data", str(tmp_path), OUT=str(tmp_path / "out"), DEADLINE="0")
    assert done.returncode == 1
    outcomes = {step["step"]: step["outcome"] for step in read(tmp_path / "out" / "steps.json")["steps"]}
    assert outcomes == {
        "train-world": "out of time",
        "leakage": "out of time",
        "latency": "out of time",
        "tofu": "skipped",
    }
    assert "failed: " in done.stdout


FAKE = """#!/usr/bin/env bash
case $1 in
  -) cat >/dev/null; [ $# -gt 1 ] || echo "cuda vllm" ;;
  -c) exit 1 ;;
  *) echo "$*" >>"$COMMANDS" ;;
esac
"""
"""An interpreter on a machine with a GPU and vLLM, without SmolLM2, that only notes what it is asked to run."""


def test_the_whole_form_runs_commands_that_exist_in_the_right_order(tmp_path: Path) -> None:
    fake, noted = tmp_path / "python", tmp_path / "commands"
    fake.write_text(FAKE, encoding="utf-8")
    fake.chmod(0o755)
    (tmp_path / "data" / "tofu").mkdir(parents=True)
    script("--data", str(tmp_path / "data"), OUT=str(tmp_path / "out"), PYTHON=str(fake), COMMANDS=str(noted))
    asked = [line.split() for line in noted.read_text(encoding="utf-8").splitlines()]
    modules = Counter(words[1] for words in asked)
    assert modules == {
        "benchmarks.worlds.member": 5,
        "gateway.cli": 3,
        "benchmarks.tofu": 1,
        "benchmarks.overhead": 1,
    }
    assert asked[-2][1:4] == ["gateway.cli", "bench", "leakage"]  # alone on the GPU, after all training
    assert asked[-1][1] == "benchmarks.overhead"
    bench = get_command(app)
    assert isinstance(bench, TyperGroup)
    for words in asked:
        if words[1] == "gateway.cli":
            context = bench.commands[words[3]].make_context(words[3], words[4:])  # raises for an unknown option
            assert context.params["tier"] in ("gpu", "tofu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_whole_form_needs_a_gpu(tmp_path: Path) -> None:
    done = script(OUT=str(tmp_path))
    assert done.returncode == 1
    assert "--small is the form for CPUs" in done.stdout
    assert script("--smal", OUT=str(tmp_path)).returncode == 2
