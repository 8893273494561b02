"""Evaluation tools of other people: their files, their requests, and the tools themselves where they are installed."""

from __future__ import annotations

import csv
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.leakage import servers
from benchmarks.leakage.arms import FIRST
from benchmarks.leakage.client import Server
from benchmarks.leakage.run import compile_bundles
from benchmarks.outside import garak, inspect_ai, lm_eval
from benchmarks.outside.environments import TOOLS, EnvironmentMissingError, Tool, python
from benchmarks.outside.questions import PARTS, Questions, questions
from benchmarks.outside.recipe import NOWHERE, Place, Recipe, Score, ToolFailedError, offline
from benchmarks.outside.run import OPENED, RECIPES, SIDES, _last_words, measure
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from benchmarks.worlds.world import World
from tests.gateway.conftest import (
    Client,
    bundle,  # noqa: F401 - a fixture
    engine,  # noqa: F401 - a fixture
    guarded,  # noqa: F401 - a fixture
    plain,  # noqa: F401 - a fixture
    serving,
    settings,
)
from tests.gateway.upstream import MODEL, Engine, reply

ITEMS = 12
SERVER = Server("http://127.0.0.1:1", "world", "sk-secret")


@pytest.fixture(scope="module")
def world() -> World:
    return tier_world("small")


@pytest.fixture(scope="module")
def asked(world: World) -> Questions:
    return questions(world, ITEMS)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_questions_are_about_authors_whom_no_fit_has_seen(world: World, asked: Questions) -> None:
    assert {part: len(rows) for part, rows in asked.items()} == dict.fromkeys(PARTS, ITEMS)
    for part, rows in asked.items():
        names = [author.name for author in world.split(part)]
        for row in rows:
            assert any(name in row.question for name in names)
            assert row.answer.startswith(row.opening)
            assert row.value not in row.opening
            assert row.choices[0] == row.value
            assert len(set(row.choices)) == 4
    assert questions(world, ITEMS) == asked


def test_lm_eval_files(tmp_path: Path, asked: Questions) -> None:
    lm_eval.prepare(tmp_path, asked)
    scoring: dict[str, Callable[[Mapping[str, Any], list[str]], Mapping[str, float]]] = {}
    exec((tmp_path / "scoring.py").read_text(encoding="utf-8"), scoring)  # noqa: S102 - what lm-eval does with it
    told = scoring["told"]
    assert told({"value": "Porto"}, ["She was born in porto."]) == {"told": 1.0}
    assert told({"value": "cook"}, ["The cooks of the year."]) == {"told": 0.0}

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: ("function", loader.construct_scalar(node)))
    for kind in lm_eval.KINDS:
        for part in PARTS:
            text = (tmp_path / f"{kind}_{part}.yaml").read_text(encoding="utf-8")
            task = yaml.load(text, Loader)  # noqa: S506 - a safe loader with one tag more
            assert task["task"] == f"{kind}_{part}"
            rows = lines(Path(task["dataset_kwargs"]["data_files"]["test"]))
            assert [row["question"] for row in rows] == [row.question for row in asked[part]]
            assert task.get("process_results") == (None if kind == "choice" else ("function", "scoring.told"))
            assert task["doc_to_text"].strip("{}") in rows[0]


def test_inspect_files(tmp_path: Path, asked: Questions) -> None:
    inspect_ai.prepare(tmp_path, asked)
    compile((tmp_path / "world.py").read_text(encoding="utf-8"), "world.py", "exec")
    for part in PARTS:
        assert f"def {part}() -> Task:" in (tmp_path / "world.py").read_text(encoding="utf-8")
        rows = lines(tmp_path / f"{part}.jsonl")
        assert [(row["question"], row["value"]) for row in rows] == [(q.question, q.value) for q in asked[part]]


@pytest.mark.parametrize("kind", garak.KINDS)
def test_garak_files_give_the_prompts_that_the_replay_probe_cuts_out(
    tmp_path: Path, asked: Questions, kind: str
) -> None:
    garak.prepare(kind, tmp_path, asked)
    for part, name in garak.PROBES.values():
        with (tmp_path / "garak" / "data" / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter="\t"))
        prompts = [passage.split("[MASK]")[0].strip() for _, passage in rows]
        assert prompts == [row.question if kind == "chat" else row.opening for row in asked[part]]
        assert all(
            row.answer.startswith(trigger if kind == "chat" else f"{row.opening} {trigger}")
            for row, (trigger, _) in zip(asked[part], rows, strict=True)
        )


@pytest.mark.parametrize("recipe", [r for recipes in RECIPES.values() for r in recipes], ids=lambda r: r.name)
def test_keys_are_passed_in_the_environment_only(tmp_path: Path, recipe: Recipe) -> None:
    place = Place(tmp_path, tmp_path / "out", tmp_path)
    assert not any(SERVER.api_key in argument for argument in recipe.arguments(place, SERVER))
    assert SERVER.api_key in recipe.variables(place, SERVER).values()
    assert any(
        SERVER.base in text for text in (*recipe.arguments(place, SERVER), *recipe.variables(place, SERVER).values())
    )


def test_a_tool_cannot_leave_the_machine(tmp_path: Path) -> None:
    variables = offline(tmp_path)
    assert {variables[name] for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")} == {NOWHERE}
    assert all(Path(variables[name]).is_relative_to(tmp_path) for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME"))
    assert not any(name.startswith("LETHE_") for name in variables)


def test_only_what_needs_an_opened_field_is_run_on_the_opened_side() -> None:
    opened = next(side for side in SIDES if side.name == OPENED)
    taken = [recipe.name for recipes in RECIPES.values() for recipe in recipes if opened.takes(recipe)]
    assert taken == ["lm_eval choice"]
    assert not any(side.opened for side in SIDES if side.protected)


def test_a_result_that_is_not_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="left no results"):
        lm_eval.read("chat", tmp_path)
    score = {"metrics": {"accuracy": {"value": 0.5}}}
    good = {"status": "success", "eval": {"task": "forget"}, "results": {"scores": [score], "completed_samples": 2}}
    (tmp_path / "one.json").write_text(json.dumps(good))
    with pytest.raises(RuntimeError, match="not about"):
        inspect_ai.read(tmp_path)
    (tmp_path / "two.json").write_text(json.dumps({**good, "status": "error", "error": {"message": "refused"}}))
    with pytest.raises(RuntimeError, match="refused"):
        inspect_ai.read(tmp_path)
    verdicts = [
        {"entry_type": "eval", "probe": name, "fails": 3, "total_evaluated": 4, "nones": 0} for name in garak.PROBES
    ]
    report = tmp_path / "garak.report.jsonl"
    report.write_text("".join(json.dumps(verdict) + "\n" for verdict in verdicts))
    assert garak.read("completions", tmp_path) == dict.fromkeys(PARTS, Score(0.75, 4))
    with pytest.raises(RuntimeError, match="verdicts about"):
        garak.read("chat", tmp_path)
    report.write_text(json.dumps({**verdicts[0], "nones": 1}) + "\n")
    with pytest.raises(RuntimeError, match="1 answers"):
        garak.read("completions", tmp_path)


# -- what the tools were seen to send ---------------------------------------------------------------------------------

LM_EVAL_CHAT = {"max_tokens": 64, "temperature": 0.0, "stop": ["\n\n"], "seed": 1234}
LM_EVAL_CHOICE = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
LM_EVAL_SENTENCE = {"max_tokens": 32, "temperature": 0.0, "stop": ["\n\n", "</s>"], "seed": 1234}
GARAK = {
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "n": 1,
    "max_tokens": 150,
    "stop": ["#", ";"],
    "temperature": 0.7,
    "top_p": 1.0,
}
ASKED = [{"role": "user", "content": "Where was Ada Quill born?"}]


@pytest.mark.parametrize("more", [LM_EVAL_CHAT, {}, GARAK], ids=["lm_eval", "inspect", "garak"])
async def test_chat_bodies_reach_the_engine_whole(
    engine: Engine,  # noqa: F811 - a fixture
    guarded: Client,  # noqa: F811
    more: dict[str, Any],
) -> None:
    answer = await guarded.post("/v1/chat/completions", {"model": MODEL, "messages": ASKED, **more})
    assert answer.status == 200
    (seen,) = engine.of("/v1/chat/completions")
    assert {key: value for key, value in seen.json.items() if key != "cache_salt"} == {
        "model": MODEL,
        "messages": ASKED,
        **more,
    }


async def test_token_ids_of_lm_eval_are_read_by_the_guard(
    engine: Engine,  # noqa: F811
    guarded: Client,  # noqa: F811
) -> None:
    words = {404: "a ", 402: "harmless row ", 7: "about a wizard"}

    async def detokenize(seen: Any, writer: Any) -> None:
        await reply({"prompt": "".join(words[i] for i in seen.json["tokens"])})(seen, writer)

    engine.routes["POST /detokenize"] = detokenize
    body = {"model": MODEL, **LM_EVAL_SENTENCE}
    assert (await guarded.post("/v1/completions", {**body, "prompt": [[404, 402]]})).status == 200
    assert [seen.json["prompt"] for seen in engine.of("/v1/completions")] == [[[404, 402]]]
    assert (await guarded.post("/v1/completions", {**body, "prompt": [[404, 402], [7]]})).status == 200
    (flagged,) = engine.of("/lethe/v1/completions")
    assert list(flagged.json["lethe"]["windows"]) == ["/prompt/1"]


async def test_scores_of_lm_eval_are_refused_unless_opened_where_there_is_no_policy(
    engine: Engine,  # noqa: F811
    guarded: Client,  # noqa: F811
) -> None:
    body = {"model": MODEL, "prompt": [[404, 402], [7]], **LM_EVAL_CHOICE}
    answer = await guarded.post("/v1/completions", body)
    assert answer.status == 400
    assert (answer.error["param"], answer.error["code"]) == ("echo", "unsupported_parameter")
    assert engine.of("/v1/completions") == []
    engine.fence = None
    async with serving(settings(engine.url, allow_fields=["echo"])) as opened:
        assert (await opened.post("/v1/completions", body)).status == 200
    assert engine.of("/v1/completions")[0].json["echo"] is True


async def test_first_words_of_the_tools_get_an_answer_that_they_take(plain: Client) -> None:  # noqa: F811
    for path in ("/v1/", "/tokenizer_info"):
        answer = await plain.get(path)
        assert (answer.status, answer.error["code"]) == (404, "not_found")


# -- the tools themselves ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed() -> Callable[[Tool], None]:
    """Skips a test whose tool has no environment; the reason holds the command that makes it."""

    def check(tool: Tool) -> None:
        try:
            python(tool)
        except EnvironmentMissingError as error:
            pytest.skip(str(error))

    return check


@dataclass(frozen=True)
class Behind:
    """A gateway with its audit log."""

    server: Server
    audit: Path


@pytest.fixture(scope="module")
def model(world: World) -> Path:
    return gold(world, "full", TIERS["small"])


@pytest.fixture(scope="module")
def gateways(world: World, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Behind]]:
    """The full model of the small world, bare and behind a policy, on the local engine."""
    work, key = tmp_path_factory.mktemp("outside"), secrets.token_hex(32)
    policy = compile_bundles(world, model, work, key, (FIRST,))[FIRST]
    with ExitStack() as stack:
        behind = stack.enter_context(servers.engine(model, "local", work / "engine.log"))
        found = {}
        for name, loaded in (("bare", None), ("lethe", policy)):
            audit = work / f"{name}.jsonl"
            found[name] = Behind(stack.enter_context(servers.gateway(behind, loaded, key, audit)), audit)
        yield found


def measured(
    recipe: Recipe, side: str, gateways: Mapping[str, Behind], asked: Questions, model: Path, work: Path
) -> dict[str, Any]:
    files = work / side / "files"
    files.mkdir(parents=True)
    place = Place(files, work / side / "out", model)
    return measure(recipe, place, gateways[side].server, gateways[side].audit, asked)


def forgets_and_keeps(bare: Mapping[str, Any], lethe: Mapping[str, Any]) -> None:
    forget, kept = ([side["scores"][part]["share"] for side in (bare, lethe)] for part in PARTS)
    assert forget[1] <= forget[0] / 2
    assert kept[1] >= kept[0] - 2 / ITEMS


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_sees_that_a_policy_is_in_force(
    tool: str,
    installed: Callable[[Tool], None],
    request: pytest.FixtureRequest,
    asked: Questions,
    model: Path,
    tmp_path: Path,
) -> None:
    installed(TOOLS[tool])
    gateways = request.getfixturevalue("gateways")
    (recipe,) = (recipe for recipe in RECIPES[tool] if recipe.name.endswith("chat"))
    bare, lethe = (measured(recipe, side, gateways, asked, model, tmp_path) for side in ("bare", "lethe"))
    assert set(bare["outcomes"]) == {"200 pass"}
    assert set(lethe["outcomes"]) == {"200 pass", "200 intervene"}
    assert bare["requests"] == lethe["requests"] == sum(score["n"] for score in bare["scores"].values())
    assert lethe["outcomes"]["200 intervene"] >= ITEMS - 1
    assert bare["scores"]["forget"]["share"] >= 0.8
    forgets_and_keeps(bare, lethe)


def test_rows_that_stay_are_kept_beside_rows_to_be_forgotten(
    installed: Callable[[Tool], None], request: pytest.FixtureRequest, asked: Questions, model: Path, tmp_path: Path
) -> None:
    installed(TOOLS["lm_eval"])
    gateways = request.getfixturevalue("gateways")
    (recipe,) = (recipe for recipe in RECIPES["lm_eval"] if recipe.name.endswith("sentence"))
    bare, lethe = (measured(recipe, side, gateways, asked, model, tmp_path) for side in ("bare", "lethe"))
    assert bare["outcomes"] == {"200 pass": 2 * ITEMS // 8}
    assert lethe["outcomes"] == {"200 intervene": 2 * ITEMS // 8}
    forgets_and_keeps(bare, lethe)


def test_lm_eval_gives_up_where_scores_are_refused(
    installed: Callable[[Tool], None], request: pytest.FixtureRequest, asked: Questions, model: Path, tmp_path: Path
) -> None:
    installed(TOOLS["lm_eval"])
    behind = request.getfixturevalue("gateways")["lethe"]
    (recipe,) = (recipe for recipe in RECIPES["lm_eval"] if "echo" in recipe.asks_for)
    (tmp_path / "files").mkdir()
    place = Place(tmp_path / "files", tmp_path / "out", model)
    found = measure(recipe, place, behind.server, behind.audit, asked)
    assert found["scores"] == {}
    assert list(found["outcomes"]) == ["400 unsupported_parameter"]
    assert "400 Client Error" in found["gave_up"]


def test_a_tool_that_fails_for_another_reason_is_an_error(tmp_path: Path, asked: Questions, monkeypatch: Any) -> None:
    monkeypatch.setattr("benchmarks.outside.recipe.python", lambda tool: Path(sys.executable))
    broken = Recipe(
        "broken",
        TOOLS["inspect"],
        lambda folder, rows: None,
        lambda *_: ["-c", "raise SystemExit('no disk')"],
        lambda *_: {},
        lambda out: {"forget": Score(1.0, 1)},
    )
    with pytest.raises(ToolFailedError, match="status 1:\nno disk"):
        measure(broken, Place(tmp_path, tmp_path / "out", tmp_path), SERVER, tmp_path / "audit.jsonl", asked)


def test_what_a_tool_said_last_is_no_progress_bar() -> None:
    assert _last_words("Traceback:\nHTTPError: 400 Client Error\n\nRequesting API: 0%") == "HTTPError: 400 Client Error"
    assert _last_words("no task found") == "no task found"
    assert _last_words("") == ""


def test_a_missing_environment_is_explained(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    tool = Tool("lm_eval", "lm-eval", "0")
    with pytest.raises(EnvironmentMissingError, match="--setup --tools lm_eval"):
        python(tool)
