"""Where channels rank the truth."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered, Reply
from benchmarks.leakage.ranks import candidate_ranks
from benchmarks.probes.spec import Probe
from benchmarks.worlds.spec import Item

ITEM = Item(3, "forget", "city", "Where was Ada Quill born?", "Ada Quill was born in Lisbon.", ("Lisbon",))
OFFERED = ("Oslo", "Lisbon", "Lima", "Rome")
CHANCE = {"chance_mrr": pytest.approx(25 / 48, abs=1e-4), "chance_top_1": 0.25}


def ranked(*choices: dict[str, Any], status: int = 200) -> dict[str, float]:
    probe = Probe("family", ITEM, (), question=ITEM.question, candidates=OFFERED)
    reply = Reply(status, {}, {"choices": [{"index": i, **choice} for i, choice in enumerate(choices)]})
    (found,) = candidate_ranks(Asked((Answered(probe, (reply,)),), (), {})).values()
    assert {key: found[key] for key in CHANCE} == CHANCE
    return found


def chat(**tokens: float) -> dict[str, Any]:
    top = [{"token": f" {token}", "logprob": value} for token, value in tokens.items()]
    return {"message": {"content": "?"}, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def test_log_probabilities_rank_what_is_not_said() -> None:
    assert ranked(chat(Os=-0.1, Lis=-1.0))["mrr"] == 0.5
    assert ranked(chat(Lis=-0.1, Os=-1.0))["top_1"] == 1.0
    # of a text completion, and the best of two answers
    text = {"text": "?", "logprobs": {"tokens": [" a"], "token_logprobs": [-0.1], "top_logprobs": [{" Lisbon": -2.0}]}}
    assert ranked(text)["top_1"] == 1.0
    assert ranked(chat(Os=-0.5), chat(Lisbon=-0.2))["top_1"] == 1.0


def test_candidates_that_begin_alike_share_a_rank() -> None:
    assert ranked(chat(Li=-0.1))["top_1"] == 0.5


def test_answers_vote_where_no_log_probabilities_are_shown() -> None:
    said = [{"message": {"content": text}} for text in ("Lisbon.", "Oslo.", "In Lisbon.")]
    assert ranked(*said)["top_1"] == 1.0
    assert ranked(said[1])["mrr"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3, abs=1e-4)


def test_a_closed_channel_tells_as_much_as_chance() -> None:
    refused = ranked(status=400)
    assert (refused["mrr"], refused["top_1"]) == (CHANCE["chance_mrr"], 0.25)
    silent = ranked({"message": {"content": "I do not know."}})
    assert (silent["mrr"], silent["top_1"]) == (CHANCE["chance_mrr"], 0.25)


def test_families_without_candidates_are_left_out() -> None:
    probe = Probe("direct", ITEM, (), question=ITEM.question)
    assert candidate_ranks(Asked((Answered(probe, (Reply(200, {}, {"choices": []}),)),), (), {})) == {}
