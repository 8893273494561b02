"""Shapes of requests: hops, prefills, mixtures, samples, choices, turns; what a gateway takes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from benchmarks.probes.ask import author_of, user
from benchmarks.probes.hops import WHO, described
from benchmarks.probes.registry import (
    FAMILIES,
    OFFERED,
    OTHER_ROUTE,
    REFUSED_FIELD,
)
from benchmarks.probes.spec import CHAT, TEXT, Probe
from benchmarks.probes.tokens import filled
from benchmarks.worlds.vocabulary import CITIES
from benchmarks.worlds.world import World
from gateway.errors import RequestError
from gateway.sanitize import sanitize
from tests.benchmarks.probes.texts import encode, last, names, render


def test_descriptions_fit_one_author(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    for one in made["no_name"]:
        description = described(world, one.item, random.Random(0))
        assert description is not None
        attributes = [a for a in WHO if WHO[a].format(v=author_of(world, one.item).facts[a]) in description]
        assert len(attributes) == 2
        assert one.item.attribute not in attributes
        facts = [author_of(world, one.item).facts[a] for a in attributes]
        assert sum([author.facts[a] for a in attributes] == facts for author in world.authors) == 1
        assert one.question.count(" and ") == 1
    for one in made["via_book"]:
        books = world.authors[one.item.author].books
        assert sum(book in one.question for book in books) == 1


def test_leaks_of_inverse_questions_are_names(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name in ("inverse_book", "inverse_facts", "list_city", "list_fact", "list_continued"):
        for one in made[name]:
            assert one.values == names(world, one.item)
            books = world.authors[one.item.author].books
            assert name == "inverse_facts" or any(v in one.question for v in (one.item.values[0], *books))
    inverse = [one.question for one in made["inverse_book"]]
    assert len(set(inverse)) == len(inverse) == len(made["direct"])
    for name in ("country", "country_via_book"):
        assert all(one.values == (CITIES[one.item.values[0]],) for one in made[name])
    for one in made["via_pupil"]:
        teacher = world.authors[one.item.author].name
        pupils = [author for author in world.authors if author.relations["teacher"] == teacher]
        assert any(pupil.books[0] in one.question for pupil in pupils)


def test_prefills_stop_before_the_value(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name in ("prefill", "prefill_name", "sample_prefill", "cloze", "stream_cloze"):
        for one in made[name]:
            body = one.steps[0]
            begun = body["messages"][-1]["content"] if one.route == CHAT else body["prompt"]
            assert one.item.answer.startswith(f"{begun} {one.item.values[0]}")
            assert "messages" not in body or body["continue_final_message"] is True
            assert "messages" not in body or body["add_generation_prompt"] is False


def test_mixed_prompts_keep_a_retain_item(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name, found in made.items():
        if not name.startswith("mixed_"):
            assert all(one.kept is None for one in found)
            continue
        count, first = int(name.split("_")[1]), name.split("_")[2]
        for one in found:
            assert one.kept is not None
            assert one.kept.split == "retain"
            assert not set(one.kept.values) & set(one.item.values)
            assert one.question.count("?") == count
            assert one.item.question in one.question
            assert one.kept.question in one.question
            starts = one.question.startswith(one.kept.question)
            assert starts == (first == "retain")


def test_samples_and_streams_are_asked_for(made: Mapping[str, tuple[Probe, ...]]) -> None:
    assert {FAMILIES[f"sample_{name}"].samples for name in ("direct", "paraphrase", "prefill")} == {16}
    for name, found in made.items():
        for one in found:
            body = one.steps[-1]
            assert body.get("n", 1) == FAMILIES[name].samples, name
            if body.get("n", 1) > 1:
                assert body["temperature"] >= 1.0 or body.get("use_beam_search")
            elif "temperature" in body:
                assert body["temperature"] == 0.0
            assert one.stream == bool(body.get("stream"))
            assert body.get("max_tokens", 32) <= 48 or name.startswith("mixed_")
    assert made["sample_hot"][0].steps[0]["temperature"] == 1.5
    assert made["logprobs"][0].steps[0]["top_logprobs"] == 20


def test_candidates_hold_the_truth_once(made: Mapping[str, tuple[Probe, ...]]) -> None:
    places = set()
    for name, found in made.items():
        for one in found:
            assert bool(one.candidates) == (
                (name in OFFERED and name != "true_false") or name.startswith("logprobs_next")
            ), name
            if one.candidates:
                assert len(set(one.candidates)) == 6
                assert one.candidates.count(one.item.values[0]) == 1
                places.add(one.candidates.index(one.item.values[0]))
    assert places == set(range(6))
    for one in made["multiple_choice"]:
        value, label = one.values
        assert f"({label}) {value}" in last(one)
    verdicts = [one.values[0] for one in made["true_false"]]
    assert {"yes", "no"} == set(verdicts)
    assert all((one.item.values[0] in last(one)) == (one.values[0] == "yes") for one in made["true_false"])


def test_prompts_are_as_short_as_they_say(made: Mapping[str, tuple[Probe, ...]]) -> None:
    for name, found in made.items():
        longest = max(len(one.question.split()) for one in found)
        assert longest <= FAMILIES[name].words, name
        assert "padding" not in name or longest > 250
    assert {one.words > 2000 for name, one in FAMILIES.items() if name.endswith("_2048")} == {True}


def test_turns_are_separate_steps(world: World, made: Mapping[str, tuple[Probe, ...]]) -> None:
    steps = {"follow_up": 2, "return": 3, "are_you_sure": 2, "split_name": 3, "crescendo": 3, "dialogue": 1}
    for name, count in steps.items():
        assert {len(one.steps) for one in made[name]} == {count}, name
    for name in ("follow_up", "return", "earlier_turn", "tool_result", "split_name", "dialogue"):
        for one in made[name]:
            assert not any(holder.lower() in last(one).lower() for holder in names(world, one.item)), name


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_gateway_takes_or_refuses_it(made: Mapping[str, tuple[Probe, ...]], name: str) -> None:
    for one in made[name][:3]:
        if name in OTHER_ROUTE:
            assert one.route not in (CHAT, TEXT)
            continue
        bodies = [{"model": "m", **filled(body, encode, render)} for body in one.steps]
        if name in REFUSED_FIELD:
            with pytest.raises(RequestError, match="not supported by this deployment"):
                [sanitize(one.route, body) for body in bodies]
        else:
            for body in bodies:
                assert sanitize(one.route, body).body == body


def test_placeholders_become_tokens() -> None:
    body = {
        "prompt_text": ["ab", "c"],
        "logit_bias_text": {"ab": -100, "b": 5},
        "allowed_token_ids_text": ["ab", "bc"],
        "logprob_token_ids_text": ["ab", "ax", "b"],
        "n": 2,
    }
    assert filled(body, encode, render) == {
        "prompt": [[97, 98], [99]],
        "logit_bias": {"97": -100, "98": 5},
        "allowed_token_ids": [97, 98, 99],
        "logprob_token_ids": [97, 98],
        "n": 2,
    }
    assert filled({"prompt_text": "ab"}, encode, render) == {"prompt": [97, 98]}
    assert filled({"token_ids_text": "ab"}, encode, render) == {"token_ids": [97, 98]}
    assert filled({"prompt_messages": [user("x")]}, encode, render) == {"prompt": "<user>x"}
    with pytest.raises(ValueError, match="no token of ''"):
        filled({"logit_bias_text": {"": 1}}, encode, render)


def test_prefills_need_one_opened_field(made: Mapping[str, tuple[Probe, ...]]) -> None:
    """All that keeps a chat prefill out is `add_generation_prompt`, which engines want together with the other."""
    for name in ("prefill", "prefill_yes", "prefill_name", "sample_prefill", "think_prefill", "logprobs_next"):
        body = {"model": "m", **made[name][0].steps[0]}
        assert sanitize(CHAT, body, allowed=("add_generation_prompt",)).body == body
