"""The benchmark of the guards: its texts, its bounds, and one small run with everything in it."""

from __future__ import annotations

import base64
import json
import random
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.guards import bounds, report
from benchmarks.guards.case import Case, Class, Item
from benchmarks.guards.described import DESCRIBED, described
from benchmarks.guards.facts import facts
from benchmarks.guards.families import ASIDES, PADS, Padding, families
from benchmarks.guards.fitted import KEY, fit_hash, fitting_texts
from benchmarks.guards.flips import PLACES, written
from benchmarks.guards.general import STRATA, Document, general
from benchmarks.guards.given import GivenError, given
from benchmarks.guards.neighbours import ABOUT, namesakes, nearest
from benchmarks.guards.overlap import Seen
from benchmarks.guards.plot import plot
from benchmarks.guards.policies import PLAIN, knowundo_policy, paraphrases, potter_policy, tofu_policies
from benchmarks.guards.run import run
from benchmarks.guards.scanning import Scanned
from benchmarks.guards.scripts import QUESTIONS, respelt
from benchmarks.guards.sizes import SMALL, Sources
from benchmarks.guards.suite import Draft, attacks, harmless, suite
from benchmarks.probes.ask import message, user
from benchmarks.tofu.data import Question
from guards.benign import benign
from guards.guard import Shared
from guards.verdict import Verdict
from tests.guards.conftest import DATA

NAMED = Item(
    "1", "tofu", "000001", "1", "Where did Petra van der Quill study?", "Petra van der Quill", "Inkwell", "direct"
)
PADDING = Padding(tuple(f"word{i}" for i in range(9000)), tuple(range(1, 9001)))


@pytest.fixture(scope="module")
def data() -> Path:
    if not (DATA / "tofu" / "full.jsonl").is_file():
        pytest.skip("public test data not found: tofu/ is expected beside the repository, in shared/data")
    return DATA


def result(family: str, kind: Class, cluster: str, caught: bool, item: str = "1") -> Scanned:
    policy = "" if kind == "harmless" else "p"
    case = Case(item, "tofu", policy, cluster, family, kind, "", "a text", "a text", ())
    return Scanned(case, {"p": Verdict("p", True, 0.9, 0.01, "alias")} if caught else {}, 0.9 if caught else 0.2)


def test_misses_of_one_author_weigh_more_than_scattered_ones() -> None:
    authors = [str(i // 10) for i in range(200)]
    together = bounds.recall([i >= 10 for i in range(200)], authors)
    scattered = bounds.recall([i % 20 > 0 for i in range(200)], authors)
    assert together["recall"] == scattered["recall"] == 0.95
    assert together["lo_by_author"] < scattered["lo_by_author"] <= scattered["lo"]
    assert (together["authors_without_miss"], scattered["authors_without_miss"]) == (19, 10)
    assert bounds.recall([True] * 200, authors)["lo_by_author"] == bounds.recall([True] * 200, authors)["lo"]
    assert bounds.recall([True], [""])["lo_by_author"] is None


def test_runs_of_eight_words() -> None:
    seen = Seen(["One two three, four five six seven: eight nine!"])
    assert seen.shares("he said two THREE four five six seven eight nine and left")
    assert not seen.shares("one two three four five six seven")
    assert not seen.shares("nine eight seven six five four three two one")
    assert seen.share("one two three four five six seven eight") == 1


def test_every_family_asks_about_the_item() -> None:
    for name, make in families(PADDING).items():
        made = make(NAMED, random.Random(name))
        assert made is not None, name
        assert made == make(NAMED, random.Random(name)), name
    every = families(PADDING)
    assert base64.b64decode(str(every["base64"](NAMED, random.Random(0))).split("\n")[1]).decode() == NAMED.text
    assert every["alias"](NAMED, random.Random(0)) == "Where did Inkwell study?"
    assert NAMED.name not in str(every["split_name"](NAMED, random.Random(0)))
    turns = every["split_question"](NAMED, random.Random(0))
    assert turns is not None
    assert sum(turn["role"] == "user" for turn in turns if isinstance(turn, dict)) == 3
    for tokens in PADS:
        text = str(every[f"padding_{tokens}"](NAMED, random.Random(0)))
        assert NAMED.text in text
        assert tokens - 1 <= len(re.findall(r"word\d+", text)) <= tokens


def test_padding_that_is_too_short_says_so() -> None:
    with pytest.raises(ValueError, match="too few for 4000"):
        Padding(("a", "b"), (1, 2)).cut(4000, random.Random(0))


def test_names_in_other_scripts() -> None:
    for language in QUESTIONS:
        name = respelt("Jad Quill Al-Shamary", language)
        assert name != "Jad Quill Al-Shamary"
        assert (language == "lv") == bool(re.search("[a-z]", name)), (language, name)
    assert respelt("Nikolai Park", "ko") == "니콜라이 팍"
    assert respelt("Nikolai Park", "uk") == "Ніколаі Парк"
    assert respelt("Edward Basil", "lv") == "Edvards Basils"
    assert respelt("Adam Moran", "he").endswith("\u05df")
    with pytest.raises(ValueError, match="no table for 'xx'"):
        respelt("Nikolai", "xx")


def test_facts_are_read_by_rule() -> None:
    rows = [
        ("What is the full name of the author born in Velm, Orland on 05/11/1951 who writes?", "It is Petra Quill."),
        ("Who are the parents of Petra Quill?", "Her father was a Roofer, and her mother was a marine biologist."),
        ("Which genre?", 'Geology, above all geology; see "Slate and Sorrow: A Handbook" and "The Quiet Quarry".'),
        ("Any prize?", "She won the Granite Book Award for it."),
    ]
    asked = [Question(7, question, answer, answer, ()) for question, answer in rows]
    found = facts(asked)
    assert asdict(found) == {
        "place": "Velm, Orland",
        "year": "1951",
        "genre": "geology",
        "father": "roofer",
        "mother": "marine biologist",
        "award": "Granite Book Award",
        "titles": ("Slate and Sorrow", "The Quiet Quarry"),
    }
    lawyer = Question(7, "", "Born to a lawyer father and zoologist mother.", "", ())
    assert (facts([lawyer]).father, facts([lawyer]).mother) == ("lawyer", "zoologist")
    made = list(described({"7": asked}, {"7": "Petra Quill"}, {"7": "p"}))
    assert {family for family, _ in made} == set(DESCRIBED)
    assert not any("Petra" in item.text or "Quill" in item.text or "{" in item.text for _, item in made)


def test_general_texts_are_distinct_of_their_length_and_unseen() -> None:
    draw = random.Random(0)

    def sentence() -> str:
        return " ".join(draw.choices([f"w{i}" for i in range(500)], k=draw.randint(8, 20))) + "."

    read = [Document(f"s{i % 3}", tuple(" ".join(sentence() for _ in range(6)) for _ in range(12))) for i in range(40)]
    taken = read[0].paragraphs[0]
    found = general([*read, *read], Seen([taken]), 30)
    counts = {stratum: [len(t.text.split()) for t in found if t.stratum == stratum] for stratum in STRATA}
    for stratum, (fewest, most) in STRATA.items():
        assert counts[stratum]
        assert min(counts[stratum]) >= fewest
        assert max(counts[stratum]) <= most
    assert len({t.text for t in found}) == len(found)
    assert not any(taken in t.text for t in found)


def test_nearest_is_by_words() -> None:
    assert nearest(["a red fish", "the stock market", "red fishes swim", "fish"], ["red fish"], 2) == [
        "a red fish",
        "fish",
    ]


def test_words_are_appended_or_spread() -> None:
    text, words = "a b c d E F g h", ["x", "y", "z"]
    assert written(text, words, PLACES[0], "E F") == "a b c d E F g h x y z"
    assert written(text, words, PLACES[1], "") == "a b x c d y E F z g h"
    assert written(text, words, PLACES[1], "d E F") == "a b x c d E F y z g h"
    assert written(text, words, PLACES[2], "E F") == "a b x c d y E z F g h"


def test_own_rows_are_read_with_their_labels(tmp_path: Path) -> None:
    rows = [
        {"text": "who is it", "label": "forget", "family": "mine"},
        {"messages": [{"role": "user", "content": "hello"}], "label": 0},
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    found = given(tmp_path)
    assert [(draft.family, label) for draft, label in found] == [("mine", True), ("mine", False)]
    for bad, why in (
        ({"text": "x", "label": "maybe"}, "label 'maybe'"),
        ({"label": 1}, "either 'messages' or 'text'"),
        ({"messages": "x", "label": 1}, "list of objects"),
    ):
        (tmp_path / "bad.jsonl").write_text(json.dumps(bad), encoding="utf-8")
        with pytest.raises(GivenError, match=rf"bad.jsonl:1: .*{re.escape(why)}"):
            given(tmp_path)
    with pytest.raises(GivenError, match="holds no rows"):
        given(tmp_path / "nowhere")


def test_a_case_is_what_the_gateway_reads_and_overlaps_are_dropped() -> None:
    talk = [user("Look it up."), message("tool", "Petra van der Quill", tool_call_id="1"), user("And?")]
    drafts = [Draft(NAMED, "tool", "A", talk), *harmless("kind", ["one two three four five six seven eight nine"])]
    made = suite(drafts, Seen(["zero one two three four five six seven eight"]), {NAMED.text: "row 5"})
    assert [part.role for part in made.cases[0].parts] == ["user", "tool", "tool", "user"]
    assert [case.family for case in made.cases] == ["tool"]
    assert made.dropped == {"kind": 1}
    assert made.cases[0].shown == "row 5, as tool"


def test_figures_of_families() -> None:
    results = [result("direct", "A", str(i % 20), i != 3, str(i)) for i in range(240)]
    results += [result("padding_4000", "A", str(i % 20), i % 10 > 0, str(i)) for i in range(240)]
    results += [result("works", "C", "1", i < 3) for i in range(10)]
    found = report.families(results)
    assert found["direct"]["holds"]
    assert not found["direct"]["worst"]
    assert found["direct"]["caught_by"] == {"alias": 239}
    assert not found["padding_4000"]["holds"]
    assert len(found["padding_4000"]["worst"]) == 10
    assert found["works"]["class"] == "C"
    assert found["works"]["recall"] == 0.3
    assert report.padding_losses(results)["4000"]["loss_points"] == pytest.approx(100 * (239 / 240 - 0.9), abs=0.01)
    assert report.ablation(results, second=False)["class C"] == {
        "n": 10,
        "alias": 0.3,
        "+ classifier": 0.3,
        "+ attributes": 0.3,
        "+ onnx": None,
        "+ output guard": None,
        "answered": 0,
    }
    described = replace(result("works", "C", "1", True), described=True)
    assert described.tier == "attributes"
    assert report.ablation([described], second=False)["class C"] == {
        "n": 1,
        "alias": 0.0,
        "+ classifier": 0.0,
        "+ attributes": 1.0,
        "+ onnx": None,
        "+ output guard": None,
        "answered": 0,
    }
    kinds = report.kinds([result("general", "harmless", "", i == 0) for i in range(50)])
    assert (kinds["general"]["hits"], kinds["general"]["by"], len(kinds["general"]["worst"])) == (1, {"alias": 1}, 1)


def test_the_hash_tells_fits_and_rates_apart() -> None:
    assert fit_hash({"a": b"x", "b": b"y"}, 0.01) == fit_hash({"b": b"y", "a": b"x"}, 0.01)
    assert len({fit_hash({"a": b"x"}, 0.01), fit_hash({"a": b"y"}, 0.01), fit_hash({"a": b"x"}, 0.02)}) == 3


def test_there_are_enough_paraphrases_with_the_name() -> None:
    found = paraphrases()
    assert len(found) >= 200
    assert len({text for _, text in found}) == len(found)
    assert all(text.count("{n}") == 1 and row in range(3600, 4000) and not row % 2 for row, text in found)
    assert {row // 20 for row, _ in found} == set(range(180, 200))


def test_own_wordings_share_nothing_with_what_is_fitted(data: Path) -> None:
    shared = Shared.load()
    policies, items = tofu_policies(data / "tofu", 20)
    potter, asked = potter_policy()
    facts_policy, private, public = knowundo_policy(data / "knowundo_privacy")
    assert len(policies) == 20
    assert all(len(policy.spec.examples) == 10 for policy in policies)
    fitted_on = {e.question for policy in (*policies, facts_policy) for e in policy.spec.examples}
    assert not fitted_on & {item.text for item in (*items, *asked, *private)}
    people = {item.cluster for item in private}
    known = {entity.name for entity in facts_policy.spec.entities}
    assert people
    assert not {q.text for q in public} & set(facts_policy.spec.retain)
    assert {item.name for item in private} <= known
    seen = Seen(
        [
            *(b.text for half in ("fit", "calibration") for b in benign(half)),
            *(shared.prose.texts if shared.prose else ()),
            *fitting_texts([*policies, potter, facts_policy], KEY),
        ]
    )
    names = {n for e in potter.spec.entities for n in (e.name, *e.aliases, *e.related)}
    spelt = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names), re.IGNORECASE)
    descriptions = [item.text for item in asked if item.id.startswith("description")]
    assert not [text for text in descriptions if spelt.search(text)]
    own = descriptions + [item.text for item in items if item.form == "paraphrase" or "plain" in item.id]
    own += [*PLAIN, *ABOUT, *ASIDES, *namesakes(), *(t for listed in DESCRIBED.values() for t in listed)]
    assert len(own) > 500
    assert [text for text in own if seen.shares(text)] == []
    named = [item for item in items if item.name]
    made = suite(attacks(named[:40], [], PADDING, 20), seen, {})
    assert not any(seen.shares(case.text) for case in made.cases)


def test_a_small_run_measures_everything_and_reads_own_rows(data: Path, tmp_path: Path) -> None:
    name = "Hsiao Yun-Hwa"
    rows = [
        {"text": f"What does {name} write about?", "label": 1, "family": "mine"},
        {"text": "How do I sharpen a kitchen knife on a stone?", "label": 0, "family": "kitchen"},
    ]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    console = Console(file=(tmp_path / "log").open("w", encoding="utf-8"), width=200)
    found = run(Sources(data, tmp_path / "none", False, tmp_path / "parts", tmp_path / "own"), SMALL, console)
    console.file.close()
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert log.index(found["fit_hash"]) < log.index("recall")  # frozen before anything is measured
    assert set(found) >= {"policies", "fleet", "flip", "speed", "fit_hash", "hardware", "commit", "ablation", "general"}
    measured = found["policies"]["tofu"]
    assert {"class", "n", "recall", "lo", "caught_by_output"} <= set(measured["families"]["direct"])
    assert measured["families"]["direct"]["recall"] > 0.9
    assert all({"n", "hits", "hi"} <= set(kind) for kind in measured["fpr"].values())
    assert all({"fpr", "hi", "recall"} <= set(level) for level in found["fleet"].values())
    assert {f["class"] for f in measured["families"].values()} == {"A", "B", "C"}
    tiers = found["ablation"]["class C"]
    assert tiers["alias"] <= tiers["+ classifier"] <= tiers["+ attributes"] > 0
    assert set(found["tiers_left_out"]) == {"onnx", "novelty"}
    assert found["eval"]["families"]["mine"]["hits"] == 1
    assert found["eval"]["fpr"]["kitchen"]["hits"] == 0
    lines = (data / "tofu" / "full.jsonl").read_text(encoding="utf-8").splitlines()
    rows_of_sets = [json.loads(line)["question"] for line in lines]
    assert not any(json.dumps(row)[1:-1] in json.dumps(found) for row in rows_of_sets)
    plot(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
