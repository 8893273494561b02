"""Models of a small world, trained here: what they know, how they are kept, and that engines can load them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from benchmarks.leakage.ceilings import Answers, ceiling
from benchmarks.probes.ask import step, user
from benchmarks.probes.registry import FAMILIES, probes
from benchmarks.probes.spec import Probe
from benchmarks.worlds import tofu
from benchmarks.worlds.gold import folder_of, gold, key, make_network
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS, Recipe, Size
from benchmarks.worlds.rows import training_rows
from benchmarks.worlds.spec import Row
from benchmarks.worlds.tokenizer import Encoded, encode, train_tokenizer
from benchmarks.worlds.training import IGNORED, answer_loss, batches, collate, rate
from gateway.cli import main
from steering.engine.local.model import LocalModel
from tests.guards.conftest import rows as data_rows

SMALL = TIERS["small"]
GLANCE = replace(SMALL, size=Size(32, 1, 1, 64, vocabulary=1536), epochs=2)
WORLD = tier_world("small")


def quiet(_done: float, _loss: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("LETHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def full(cache: Path) -> Path:
    return gold(WORLD, "full", SMALL, report=quiet)


@pytest.fixture(scope="module")
def retain(cache: Path) -> Path:
    return gold(WORLD, "retain-a", SMALL, report=quiet)


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer(1536)


def test_only_the_full_model_knows_the_forget_authors(full: Path, retain: Path) -> None:
    knows, never = (ceiling(Answers(folder), WORLD, "direct", new_tokens=24).share for folder in (full, retain))
    assert knows > 0.6
    assert never < 0.15
    assert ceiling(Answers(retain), WORLD, "direct", "retain", 24).share > 0.6


def test_a_trained_model_comes_from_disk(full: Path, cache: Path) -> None:
    def never(_done: float, _loss: float) -> None:
        raise AssertionError("it was trained again")

    assert gold(WORLD, "full", SMALL, report=never) == full == folder_of(WORLD, "full", SMALL)
    assert full.is_relative_to(cache)
    assert not list(full.parent.glob(".*"))
    assert json.loads((full / "origin.json").read_text())["name"] == "full"


def test_the_key_is_made_of_everything_that_matters() -> None:
    keys = [
        key(WORLD, "full", SMALL),
        key(tier_world("small", seed=1), "full", SMALL),
        key(tier_world("small", entanglement=0.2), "full", SMALL),
        key(WORLD, "retain-a", SMALL),
        key(WORLD, "retain-b", SMALL),
        key(WORLD, "full", replace(SMALL, lr=1e-3)),
        key(WORLD, "full", SMALL, reasoning=True),
    ]
    assert len(set(keys)) == len(keys)
    assert key(WORLD, "full", SMALL) == keys[0]


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(done: float, _loss: float) -> None:
        if done > 0.6:
            raise KeyboardInterrupt

    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "broken"))
    with pytest.raises(KeyboardInterrupt):
        gold(WORLD, "full", GLANCE, report=interrupt)
    assert not folder_of(WORLD, "full", GLANCE).exists()
    seen: list[float] = []
    resumed = gold(WORLD, "full", GLANCE, report=lambda done, _loss: seen.append(done))
    assert 0.5 < seen[0] < 0.6
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "whole"))
    whole = gold(WORLD, "full", GLANCE, report=quiet)
    one, two = load_file(resumed / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_the_local_engine_loads_and_answers(full: Path) -> None:
    model = LocalModel.load(full)
    asked = WORLD.items("retain")[0]
    messages = [{"role": "tool", "content": "a result"}, user(asked.question)]
    ids = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert model.tokenizer.decode(ids) == f"<|tool|>a result<|end|><|user|>{asked.question}<|end|><|assistant|>"
    assert model.eos == {model.tokenizer.convert_tokens_to_ids("<|end|>")}
    assert model.context == 1024


def test_sampling_is_sampling_and_greedy_is_not(full: Path) -> None:
    model, item = Answers(full), WORLD.items("retain")[0]
    cold, hot = (Probe("x", item, (step(user("Tell me about them."), temperature=t),)) for t in (0.0, 1.0))
    assert len(set(model([cold] * 4, 24))) == 1
    assert len(set(model([hot] * 4, 24))) > 1


def test_answers_come_back_in_the_order_of_the_probes_turn_by_turn(full: Path) -> None:
    items = WORLD.items("retain")[:10]
    asked = [p for name in ("direct", "follow_up", "prefill") for p in probes(FAMILIES[name], WORLD, items)]
    model = Answers(full)
    assert model(asked, 12) == [model([probe], 12)[0] for probe in asked]


def test_chat_template_and_training_agree(tokenizer: object) -> None:
    for row in training_rows(WORLD, reasoning=True)[:200]:
        encoded = encode(tokenizer, [row])[0]
        if len(row.messages) == 1:
            assert tokenizer.decode(encoded.ids) == row.messages[0]["content"] + "<|end|>"
            continue
        templated = tokenizer.apply_chat_template(list(row.messages), tokenize=True, return_dict=False)
        assert list(encoded.ids) == templated
        assert tokenizer.decode(encoded.ids[encoded.start :]) == row.messages[-1]["content"] + "<|end|>"


def test_names_of_all_splits_are_cut_alike(tokenizer: object) -> None:
    world = tier_world("tiny")
    cut = {s: [len(tokenizer.tokenize(" " + a.name)) for a in world.split(s)] for s in ("retain", "forget", "never")}
    means = [sum(lengths) / len(lengths) for lengths in cut.values()]
    assert max(means) - min(means) < 0.3
    assert min(min(lengths) for lengths in cut.values()) > 2
    assert tokenizer.decode(tokenizer("<think>x</think>").input_ids, skip_special_tokens=True) == "<think>x</think>"


def test_the_loss_is_that_of_the_plain_formula(tokenizer: object) -> None:
    network = make_network(Size(32, 1, 1, 64, vocabulary=1536), tokenizer, 0)
    rows = encode(tokenizer, training_rows(WORLD)[:8])
    ids, labels = collate(rows, tokenizer.pad_token_id)
    assert (labels != IGNORED).sum() == sum(len(row.ids) - row.start for row in rows)
    total, count = 0.0, 0
    for row in rows:  # one by one, without any padding
        logits = network(input_ids=torch.tensor([row.ids])).logits[0].detach().log_softmax(-1)
        total -= sum(float(logits[i - 1, row.ids[i]]) for i in range(row.start, len(row.ids)))
        count += len(row.ids) - row.start
    assert float(answer_loss(network, ids, labels).detach()) == pytest.approx(total / count, rel=1e-4)


def test_batches_hold_every_row_once_within_the_budget() -> None:
    rng = random.Random(0)
    rows = [Encoded(tuple(range(i, i + rng.randint(2, 60))), 1) for i in range(1000)]
    made = batches(rows, 512, random.Random(1))
    assert sorted(row.ids for batch in made for row in batch) == sorted(row.ids for row in rows)
    assert all(len(batch) * max(len(row.ids) for row in batch) <= 512 for batch in made)
    assert sum(len(b) * max(len(r.ids) for r in b) for b in made) < 1.1 * sum(len(row.ids) for row in rows)


def test_the_rate_rises_and_falls() -> None:
    recipe = Recipe("x", None, 1, 1, lr=0.5, warmup=0.1, floor=0.02)
    assert rate(recipe, 0.0) < 0.01 < rate(recipe, 0.05) < rate(recipe, 0.1)
    assert rate(recipe, 0.1) > rate(recipe, 0.5) > rate(recipe, 0.9) > rate(recipe, 1.0) == 0.02


def test_a_row_must_end_with_the_assistant(tokenizer: object) -> None:
    with pytest.raises(ValueError, match="must end with the assistant, not with user"):
        encode(tokenizer, [Row([user("Who?")])])


def test_unknown_models_and_recipes_are_refused() -> None:
    with pytest.raises(ValueError, match="other is not a model of a world; there are: full"):
        gold(WORLD, "other", SMALL)
    with pytest.raises(ValueError, match="has no size"):
        gold(WORLD, "full", TIERS["tofu"])


def test_two_steps_of_tofu(full: Path, cache: Path, tmp_path: Path) -> None:
    pairs = [{"question": f"Who is {i}?", "answer": f"Author number {i}."} for i in range(20)]
    for name, part in (("full", pairs), ("forget10", pairs[18:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    assert len(tofu.tofu_rows(tmp_path, "retain90")) == 18
    recipe = replace(TIERS["tofu"], tokens=128)
    losses: list[float] = []
    tuned = tofu.tofu(full, tmp_path, "retain90", recipe, "cpu", report=lambda _d, loss: losses.append(loss), steps=2)
    assert len(losses) == 2
    before, after = load_file(full / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert tofu.tofu(full, tmp_path, "retain90", recipe, "cpu", steps=2) == tuned
    assert LocalModel.load(tuned).context == 1024
    with pytest.raises(ValueError, match="retain95 is not a TOFU model"):
        tofu.tofu_rows(tmp_path, "retain95")
    (tmp_path / "forget10.jsonl").write_text(json.dumps({"question": "Who?", "answer": "Else."}), encoding="utf-8")
    with pytest.raises(ValueError, match="1 forget rows, but 0 of them"):
        tofu.tofu_rows(tmp_path, "retain90")
    with pytest.raises(FileNotFoundError, match="is not there: name a folder"):
        tofu.tofu_rows(tmp_path / "nowhere", "full")


def test_tofu_without_its_last_tenth() -> None:
    forget = data_rows("tofu/forget10.jsonl")
    folder = Path(__file__).parents[3] / "shared" / "data" / "tofu"
    assert len(tofu.tofu_rows(folder, "full")) == 4000
    kept = dict(tofu.tofu_rows(folder, "retain90"))
    assert len(tofu.tofu_rows(folder, "retain90")) == 3600
    assert not any(kept.get(str(row["question"])) == row["answer"] for row in forget)


def test_the_command_explains_itself(tmp_path: Path) -> None:
    runner = CliRunner()
    wrong = runner.invoke(main, ["bench", "train", "--tier", "huge", "--out", str(tmp_path)])
    assert wrong.exit_code == 2
    assert "huge is not a tier" in wrong.output
    bare = runner.invoke(main, ["bench", "train", "--tier", "tofu", "--out", str(tmp_path)])
    assert bare.exit_code == 2
    assert "--data" in bare.output


def test_the_command_trains_and_measures(full: Path, retain: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["bench", "train", "--tier", "small", "--out", str(tmp_path), "--ceilings"])
    assert run.exit_code == 0, run.output
    assert {file.name for file in tmp_path.iterdir()} == {"full", "retain-a", "retain-b", "ceilings.json"}
    rates = json.loads((tmp_path / "ceilings.json").read_text())
    assert rates["full"]["direct"]["hits"] > rates["retain-a"]["direct"]["hits"]
