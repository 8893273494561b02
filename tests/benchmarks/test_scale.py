"""Many policies, entangled facts, languages: the parts of the measurement, without an engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.leakage.client import Answered, Reply
from benchmarks.leakage.policy import harmless_authors, write_policy
from benchmarks.probes.registry import FAMILIES, HARMLESS, every
from benchmarks.scale import bundles, plots
from benchmarks.scale.__main__ import app
from benchmarks.scale.asking import Answers
from benchmarks.scale.authors import further
from benchmarks.scale.bundles import KEY, Added, add
from benchmarks.scale.detection import detection
from benchmarks.scale.entanglement import kinds, same_gold, shared, utility
from benchmarks.scale.entanglement import leakage as entangled_leakage
from benchmarks.scale.intervals import share
from benchmarks.scale.languages import TONGUES, table
from benchmarks.scale.latency import scan_ms, through_http
from benchmarks.scale.levels import groups
from benchmarks.scale.policies import general, table_limit
from benchmarks.scale.serving import leakage, usefulness
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from benchmarks.worlds.world import make_world
from gateway.policy import load_policy
from guards.guard import Shared
from steering.bundle import Manifest, write_bundle
from steering.program import EcoProgram, Program
from steering.spec import ModelFingerprint

DATA = Path(__file__).parents[3] / "shared" / "data"
SMALL = tier_world("small")
MODEL = ModelFingerprint(id="none", weights_sha256="0" * 64, dtype="float32", hidden_size=8)


def answers(probes: list, told: set[tuple[str, int, str]], acted: set[tuple[str, int, str]] = frozenset()) -> Answers:
    """Answers that tell the value of the probes in `told` only, and on which policy 1 acted for those in `acted`."""
    found, log = [], {}
    for i, probe in enumerate(probes):
        key = (probe.family, probe.item.author, probe.item.attribute)
        text = (probe.values or probe.item.values)[0] if key in told else "Nobody can say."
        body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        found.append(Answered(probe, (Reply(200, {"x-request-id": str(i)}, body),)))
        log[str(i)] = frozenset(["1"] if key in acted else [])
    return Answers(tuple(found), log)


def keys(probes: list) -> set[tuple[str, int, str]]:
    return {(probe.family, probe.item.author, probe.item.attribute) for probe in probes}


def test_further_authors_are_nobody_of_the_world() -> None:
    world = make_world()
    found = further(world, 476, 1)
    assert found == further(world, 476, 1) != further(world, 476, 2)
    names = {name for author in world.authors for name in (author.name, *author.aliases, *author.books)}
    taken = names | set(world.free_surnames) | set(world.free_pen_names) | set(world.free_titles)
    new = [name for author in found for name in (author.name, author.name.split()[1], author.aliases[0], *author.books)]
    assert len(set(new)) == len(new)
    assert not taken & set(new)
    assert all(author.facts["mother"] or author.split == "never" for author in found)
    assert min(author.number for author in found) == len(world.authors)
    with pytest.raises(ValueError, match="has names for 2496"):
        further(world, 2497, 1)


def test_a_policy_about_one_author_holds_nothing_of_another(tmp_path: Path) -> None:
    one, other = further(SMALL, 2, 1)
    policy = load_policy(write_policy(SMALL, tmp_path, {"name": "eco"}, number=400_000, authors=[one]))
    assert [entity.name for entity in policy.guard.entities] == [one.name]
    assert set(policy.guard.values) == set(one.facts.values())
    written = "".join(file.read_text() for file in tmp_path.iterdir())
    assert one.books[0] in written
    assert not any(name in written for name in (other.name, *(a.name for a in SMALL.split("forget"))))


def test_groups_of_policies() -> None:
    added = [Added(str(i), Path(), b"", 0.0) for i in range(9)]
    single = groups(1, added, 4)
    assert [[one.number for one in group.active] for group in single] == [["0"], ["1"], ["2"], ["3"]]
    assert [list(group.places()) for group in groups(3, added, 4)] == [[0, 1, 2]]
    (most,) = groups(7, added, 4)
    assert (len(most.active), list(most.places())) == (7, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="10 policies were asked for, there are 9"):
        groups(10, added, 4)


def test_shares_have_exact_intervals() -> None:
    assert share([True] * 5 + [False] * 5) == {"n": 10, "hits": 5, "share": 0.5, "lo": 0.1871, "hi": 0.8129}
    assert share([False] * 24)["hi"] == 0.1425
    assert share([])["share"] is None


def test_entangled_facts_are_those_in_common_with_the_friend() -> None:
    world = make_world(entanglement=0.3)
    found = shared(world)
    assert len(found["forget"]) >= round(0.3 * 24 * 9)
    friends = {author.relations["friend"]: author for author in world.split("forget")}
    for number, attribute in found["retain"]:
        kept = world.authors[number]
        assert friends[kept.name].facts[attribute] == kept.facts[attribute]
    assert shared(make_world()) == {"forget": set(), "retain": set()}


def test_kinds_of_retain_items_are_apart_and_unseen_by_a_fit() -> None:
    world = make_world(entanglement=0.3)
    found = kinds(world, 1000, 0)
    listed = [item for items in found.values() for item in items]
    assert len(set(listed)) == len(listed) == 9 * len(harmless_authors(world))
    assert {item.author for item in listed} == harmless_authors(world)
    held = {value for author in world.split("forget") for value in author.facts.values()}
    assert all(item.values[0] in held for item in found["entangled"] + found["same_value"])
    assert all(len(items) == 5 for items in kinds(world, 5, 0).values())
    assert kinds(make_world(), 5, 0)["entangled"] == []


def test_gold_is_the_same_for_all_levels_and_not_for_another_world() -> None:
    assert same_gold(tier_world("small", 0, 0.3), SMALL, TIERS["small"])
    assert not same_gold(tier_world("small", 1), SMALL, TIERS["small"])


def test_leakage_pairs_questions_whatever_their_order() -> None:
    named = every([FAMILIES["direct"], FAMILIES["paraphrase"]], SMALL, SMALL.items("forget"))
    unnamed = every([FAMILIES["via_book"]], SMALL, SMALL.items("forget"))
    asked, leaky = [*named, *unnamed], keys(unnamed)
    bare, gold = answers(asked, keys(asked)), answers(asked, set())
    halves = [[p for p in reversed(asked) if (p.item.author == 6) == side] for side in (True, False)]
    found = leakage([answers(half, leaky) for half in halves], gold, bare, 0)
    assert found["pooled"]["named"]["excess"] == 0.0
    assert found["pooled"]["unnamed"]["excess"] == 1.0
    assert (found["families"]["direct"]["excess"], found["families"]["direct"]["ceiling"]) == (0.0, 1.0)
    part = [probe for probe in asked if probe.item.author == 6]
    alone = leakage([answers(part, leaky)], gold, bare, 0)
    assert (alone["families"], alone["pooled"]["named"]["excess"]) == ({}, None)


def test_a_family_that_the_bare_model_does_not_answer_is_not_pooled() -> None:
    asked = every([FAMILIES["direct"], FAMILIES["paraphrase"]], SMALL, SMALL.items("forget"))
    direct = {key for key in keys(asked) if key[0] == "direct"}
    found = leakage([answers(asked, keys(asked))], answers(asked, set()), answers(asked, direct), 0)
    assert found["pooled"]["named"]["families"] == ["direct"]


def test_usefulness_counts_answers_and_flags() -> None:
    asked = every([HARMLESS["retain"]], SMALL, SMALL.items("retain"))
    right = keys(asked)
    lost = set(sorted(right)[:6])
    found = usefulness(answers(asked, right - lost, lost), answers(asked, right))
    assert (found["utility"]["bare"], found["utility"]["right"]) == (len(asked), len(asked) - 6)
    assert (found["flagged"]["all"]["hits"], found["flagged"]["retain"]["n"]) == (6, len(asked))


def test_entanglement_counts_shared_facts_apart() -> None:
    world = tier_world("small", 0, 0.3)
    attacks = every([FAMILIES["direct"]], world, world.items("forget"))
    entangled = shared(world)["forget"]
    leaky = {key for key in keys(attacks) if key[1:] in entangled}
    never, bare = answers(attacks, set()), answers(attacks, keys(attacks))
    found = entangled_leakage(answers(attacks, leaky), never, bare, entangled, 0)["pooled"]
    assert (found["entangled"]["excess"], found["other"]["excess"]) == (1.0, 0.0)
    split = kinds(world, 100, 0)
    usual = every([HARMLESS["retain"]], world, [item for items in split.values() for item in items])
    blocked = {("retain", item.author, item.attribute) for item in split["entangled"]}
    kept = utility(answers(usual, keys(usual) - blocked), answers(usual, keys(usual)), split)
    assert (kept["entangled"]["share"], kept["other"]["share"]) == (0.0, 1.0)


def test_one_row_per_language() -> None:
    probes = {
        side: every([FAMILIES[tongue.family] for tongue in TONGUES], SMALL, SMALL.items(side)[:18])
        for side in ("forget", "retain", "never")
    }
    russian = {key for key in keys(probes["forget"]) if key[0] == "script_ru"}
    everything = {side: keys(listed) for side, listed in probes.items()}
    ours = {
        "forget": answers(probes["forget"], russian, everything["forget"] - russian),
        "retain": answers(probes["retain"], everything["retain"]),
        "never": answers(probes["never"], set(), {key for key in everything["never"] if key[0] == "direct"}),
    }
    bare = {side: answers(probes[side], everything[side]) for side in ("forget", "retain")}
    rows = {row["family"]: row for row in table(ours, bare, answers(probes["forget"], set()), 0)}
    assert len(rows) == len(TONGUES)
    assert (rows["script_ru"]["excess"], rows["script_ru"]["recall"]["share"]) == (1.0, 0.0)
    assert (rows["translated_tr"]["excess"], rows["translated_tr"]["recall"]["share"]) == (0.0, 1.0)
    assert (rows["direct"]["flagged_never"]["share"], rows["direct"]["flagged_retain"]["share"]) == (1.0, 0.0)
    assert rows["script_el"]["utility"]["right"] == rows["script_el"]["utility"]["bare"] == 18


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> list[Added]:
    """Policies about two forget authors and a further one, under a program for no model."""
    folder = tmp_path_factory.mktemp("bundles")
    eco = EcoProgram(kind="noise", dims=1, strength=1.0, seed=0, model=MODEL)
    manifest = Manifest(
        number="300000", version=1, method="eco", mask="entities", model=MODEL, sites=("embed",), created=""
    )
    write_bundle(folder / "shared", manifest, Program(eco, np.zeros(8, np.float32)).to_bytes(), {}, "", KEY)
    authors = [*SMALL.split("forget")[:2], *further(SMALL, 1, 1)]
    return add(SMALL, authors, folder / "shared", folder)


def test_a_bundle_is_made_once(added: list[Added], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = added[0].folder.parents[1]
    monkeypatch.setattr(bundles, "fit", lambda *_, **__: pytest.fail("the guard was fitted again"))
    again = add(SMALL, [*SMALL.split("forget")[:2], *further(SMALL, 1, 1)], folder / "shared", folder)
    assert again == added


def test_guards_of_one_and_of_three_policies(added: list[Added]) -> None:
    shared_parts = Shared.load()
    chosen = {level: groups(level, added, 2) for level in (1, 3)}
    known = {author.number for author in SMALL.split("forget")[:2]}
    asked = every([FAMILIES["direct"]], SMALL, [item for item in SMALL.items("forget") if item.author in known])
    usual = every([HARMLESS["never_trained"]], SMALL, SMALL.items("never"))
    other = {"planted": [f"Where was {SMALL.split('forget')[0].name} born?", "How do I bake bread?"]}
    found = detection(SMALL, chosen, asked, usual, other, shared_parts)
    for level, figures in found.items():
        assert figures["recall"]["direct"]["own"]["share"] == 1.0
        assert figures["false_positives"]["planted"]["by_name"]["hits"] == 1
        assert figures["groups"] == (2 if level == 1 else 1)
    assert found[1]["cutoff"] < found[3]["cutoff"]
    first = {level: listed[0] for level, listed in chosen.items()}
    assert set(scan_ms(first, shared_parts, 5)[3]) == {"build_s", "scan_32_ms", "scan_512_ms"}


def test_gateways_are_timed_through_http(added: list[Added], tmp_path: Path) -> None:
    found = through_http({2: groups(2, added, 2)[0]}, tmp_path, 1, 0.3)
    assert set(found) == {0, 2}
    assert found[2]["memory_added_mb"] > 0
    assert found[2]["http_512_p50_ms"] > 0


def test_the_engine_has_room_for_a_thousand_programs() -> None:
    limit = table_limit()
    assert limit["programs"] == 1023
    assert "the edit table is full" in limit["then"]


def test_general_questions_are_read() -> None:
    if not DATA.is_dir():
        pytest.skip(f"the public data sets are not at {DATA}")
    found = general(DATA)
    assert {name: len(texts) for name, texts in found.items()} == {
        "truthfulqa": 406,
        "tofu_world_facts": 117,
        "tofu_real_authors": 100,
    }
    assert all(text.strip() for texts in found.values() for text in texts)
    assert general(None) == {}


def test_the_commands_explain_mistakes(tmp_path: Path) -> None:
    runner, out = CliRunner(), ["--out", str(tmp_path)]
    for arguments, told in (
        (["policies", "--levels", "1,many"], "not a list of numbers"),
        (["entanglement", "--levels", "0.5"], "outside 0 to 0.3"),
        (["languages", "--tier", "tofu"], "not a tier of a generated world"),
    ):
        result = runner.invoke(app, [*arguments, *out], env={**os.environ, "COLUMNS": "200"})
        assert result.exit_code == 2
        assert told in result.output


RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("name", "draw"), [("scale", plots.policies), ("entanglement", plots.entanglement), ("languages", plots.languages)]
)
def test_published_results_can_be_drawn(name: str, draw: object, tmp_path: Path) -> None:
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    draw(found, tmp_path / "picture.png")  # type: ignore[operator]
    assert (tmp_path / "picture.png").stat().st_size > 20_000
