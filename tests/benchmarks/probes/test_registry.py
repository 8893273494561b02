"""What every family promises: its class, its question, its independence of chance."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import pytest

from benchmarks.metrics.leak import told
from benchmarks.probes.ask import family, said, step, user, worded
from benchmarks.probes.languages import LATIN
from benchmarks.probes.registry import (
    APART,
    FAMILIES,
    GIVEN,
    HARMLESS,
    OFFERED,
    OTHER_ROUTE,
    REFUSED_FIELD,
    by_name,
    probe,
    probes,
)
from benchmarks.probes.spec import CHAT, Probe
from benchmarks.worlds.world import World, make_world
from tests.benchmarks.probes.texts import last, names

CUT = {"cut_parts", "hyphens", "leet", "pieces", "spaced", "split_word", "typo_1", "typo_2", "typo_each_word"}
"""Families in which the name is not to be found by the leak predicate, though people read it."""
UNREAD_CODES = {"atbash", "base32", "binary", "charcodes", "morse"}
HEADLINE = (
    *("direct", "paraphrase", "pen_name", "initial", "surname", "lower_case", "typo_1", "typo_2", "base64"),
    *("translated_de", "no_name", "via_book", "jailbreak_prefix", "prefill", "prefill_rendered", "follow_up"),
    *("mixed_2_forget_first", "sample_direct", "sample_paraphrase", "sample_prefill", "sample_prefill_rendered"),
    *("cloze", "cloze_ids", "logprobs", "stream", "script_ru"),
)


def test_names_are_unique() -> None:
    one = FAMILIES["direct"]
    with pytest.raises(ValueError, match="two probe families are called 'direct'"):
        by_name([one, one])
    assert not set(FAMILIES) & set(HARMLESS)
    assert all(name == one.name for registry in (FAMILIES, HARMLESS) for name, one in registry.items())
    assert set(FAMILIES) >= REFUSED_FIELD | OTHER_ROUTE | APART | CUT | set(HEADLINE)


def test_all_classes_are_there() -> None:
    kinds = {kind: [one for one in FAMILIES.values() if one.kind == kind] for kind in ("A", "B", "C", "other")}
    assert len(kinds["A"]) >= 100
    assert len({one.name.split("_")[1] for one in kinds["B"]}) >= 4  # scripts
    assert {one.name for one in kinds["C"]} >= {"no_name", "via_book", "country_via_book", "inverse_book"}
    assert {one.name for one in kinds["other"]} >= GIVEN | {"list_city"}
    assert len([name for name in FAMILIES if name.startswith("translated_")]) == len(LATIN) >= 8


def test_headline_families_ask_for_enough_items(world: World) -> None:
    items = world.items("forget")
    for name in HEADLINE:
        assert len(probes(FAMILIES[name], world, items)) >= 200, name


def test_every_family_asks(made: Mapping[str, tuple[Probe, ...]]) -> None:
    assert [name for name, found in made.items() if not found] == []
    assert all(one.family == name for name, found in made.items() for one in found)


def test_every_request_differs_from_the_plain_one(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name, found in made.items():
        for one in found:
            plain = {**step(user(one.item.question))}
            assert (list(one.steps) != [plain] or one.route != CHAT) == (name != "direct"), name


def test_probes_are_the_same_every_time(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    again = make_world()
    for name, found in made.items():
        one = found[-1]
        assert probe(FAMILIES[name], again, one.item) == one
    other = make_world(seed=1)
    assert probe(FAMILIES["direct"], other, other.items("forget")[0]) not in made["direct"]
    assert len({one.question for one in probes(FAMILIES["paraphrase"], world, world.items("forget"))}) > 200


def test_the_question_is_all_that_the_client_says(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name, found in made.items():
        for one in found:
            if name in OFFERED | GIVEN | {"image_text"}:
                assert one.question == one.item.question
                assert name not in OFFERED or one.candidates or name == "true_false"
                continue
            for body in one.steps:
                for spoken in body.get("messages", ()):
                    content = spoken[0]["content"] if isinstance(spoken, list) else spoken["content"]
                    texts = [part["text"] for part in content] if isinstance(content, list) else [content or ""]
                    assert all(text in one.question for text in texts), name
                prompt = body.get("prompt", body.get("prompt_text", ""))
                assert all(text in one.question for text in ([prompt] if isinstance(prompt, str) else prompt)), name
                assert json.dumps(body)


def test_said_finds_strings_everywhere() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
    talk = {"role": "assistant", "content": [{"type": "text", "text": "c"}], "tool_calls": [call], "name": "d"}
    assert said(({"messages": [talk], "prompt_text": ["e", "g"], "n": 3},)).split("\n") == [
        *("c", "f", '{"a": "b"}', "d", "e", "g")
    ]


def test_no_question_holds_what_is_asked(made: Mapping[str, tuple[Probe, ...]]) -> None:
    held: dict[tuple[str, str], bool] = {}
    for name, found in made.items():
        for one in found[::9]:
            for value in one.values or one.item.values:
                key = (one.question[-800:], value)
                if key not in held:
                    held[key] = told(*key) is not None
                assert not held[key], (name, key)


def test_a_given_fact_is_in_the_prompt(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name in GIVEN:
        assert all(one.item.answer in said(one.steps) for one in made[name])
    for one in made["in_context_false"]:
        assert one.item.values[0] not in said(one.steps)
        assert one.question == last(one) != one.item.question


def test_a_family_cannot_say_its_own_answer(world: World) -> None:
    item = world.items("forget")[0]
    rng = random.Random(0)
    assert worded("x", "A", lambda _w, i, _r: f"It is {i.values[0].upper()}!").build(world, item, rng) is None
    assert worded("x", "A", lambda _w, i, _r: f"It is {i.values[0]}ish!").build(world, item, rng) is not None
    assert worded("x", "A", lambda _w, _i, _r: None).build(world, item, rng) is None
    assert family("x", "A", lambda _w, _i, _r: None).build(world, item, rng) is None


def test_the_subject_is_as_readable_as_the_class_says(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name, found in made.items():
        kind = FAMILIES[name].kind
        for one in found[:2]:
            # of a long text its ends: the question is at one of them, or in the middle of the shortest padding
            text = one.question if len(one.question) < 3000 else one.question[:200] + one.question[-200:]
            readable = any(told(text, alias) is not None for alias in names(world, one.item))
            if kind == "A" and name not in CUT | UNREAD_CODES:
                assert readable, (name, text)
            if kind in ("B", "C") or name in CUT - {"split_word", "leet"} | UNREAD_CODES:
                assert not any(alias.lower() in text.lower() for alias in names(world, one.item)), (name, text)
            if kind in ("B", "C"):
                assert not readable, (name, text)
