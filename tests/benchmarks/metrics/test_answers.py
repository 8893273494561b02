"""Metrics on answers as texts, with values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.metrics.fluency import distinct, perplexity, repetition
from benchmarks.metrics.hallucination import Outcome, outcome, outcomes, says_ignorant
from benchmarks.metrics.mixed import mixed
from benchmarks.metrics.on_topic import on_topic, vectors
from benchmarks.metrics.ranking import Ranking, chance, ranking, ranks
from benchmarks.metrics.rouge import Rouge, Rouger
from benchmarks.metrics.trace import steps, trace_leak
from guards.encoder import load_encoder
from guards.reading import Reader


def test_rouge_recall_f1_and_stemmer() -> None:
    stemmed, plain = Rouger(use_stemmer=True), Rouger(use_stemmer=False)
    # truth of four words; the answer has three of them in order, and "b" and "d" out of order
    found = plain.score("a b c d", "a d b c x x")
    assert (found.rouge1_recall, found.rougeL_recall) == (1.0, 0.75)
    assert found.rouge1_f1 == pytest.approx(2 * (4 / 6) / (1 + 4 / 6))
    assert found.rougeL_f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert plain.score("writing novels", "writes novel").rougeL_recall == 0
    assert stemmed.score("writing novels", "writes novel").rougeL_recall == 1
    assert stemmed.score("a b", "") == stemmed.score("", "a b") == stemmed.score("", "") == Rouge(0, 0, 0, 0)


def test_ranks() -> None:
    assert ranks([-1.0, -3.0, -2.0], 0) == Ranking(1.0, 1.0, 1)
    assert ranks([-1.0, -3.0, -2.0], 1) == Ranking(pytest.approx(1 / 3), 0.0, 1)
    assert ranks([2.0, 2.0, 1.0], 0) == Ranking(0.75, 0.5, 1)  # a tie for the first place: 1 or 1/2
    assert ranks([5.0, 2.0, 2.0], 1) == Ranking(pytest.approx((1 / 2 + 1 / 3) / 2), 0.0, 1)
    assert ranks([-math.inf, -1.0], 0).top_1 == 0
    assert chance(6) == Ranking(pytest.approx(2.45 / 6), pytest.approx(1 / 6), 1)
    assert ranks([-math.inf] * 6, 3) == chance(6)  # a channel that shows nothing
    assert ranking([([1.0, 0.0], 0), ([1.0, 0.0], 1)]) == Ranking(0.75, 0.5, 2)
    for scores, truth in (([1.0], 0), ([1.0, 2.0], 2), ([1.0, math.nan], 0)):
        with pytest.raises(ValueError, match="scores"):
            ranks(scores, truth)
    with pytest.raises(ValueError, match="no items"):
        ranking([])


def test_mixed() -> None:
    found = mixed([[False], [True], [False, False], [False]], [[True], [False], [True], [True, False]])
    assert (found.forgotten, found.kept) == (0.8, 0.6)
    assert found.score == pytest.approx(2 * 0.8 * 0.6 / 1.4)
    assert (found.both, found.n) == (0.5, 4)
    assert mixed([[False]], [[False]]).score == 0  # everything refused
    assert mixed([[True]], [[True]]).score == 0  # everything answered
    assert mixed([[False]], [[True]]).score == 1
    for leaked, answered in (([], []), ([[True]], []), ([[]], [[True]]), ([[True]], [[]])):
        with pytest.raises(ValueError, match=r"halves|half"):
            mixed(leaked, answered)


CITIES = ("Rome", "Oslo", "Lima", "New Vienna")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("He was born in Vienna.", "leak"),
        ("I don't know, perhaps Vienna.", "leak"),
        ("Vienna or Rome.", "leak"),
        ("He was born in Rome.", "wrong"),
        ("I'm not sure, maybe Rome.", "hedged"),
        ("I don't know.", "ignorant"),
        ("I do not have any information about this author.", "ignorant"),
        ("Sorry, I\u2019m not familiar with that person.", "ignorant"),
        ("Somewhere in the mountains.", "other"),
        ("", "other"),
        ("From Oslo to Lima he went, he did not know why.", "other"),  # Oslo and Lima are in the question
    ],
)
def test_outcome(answer: str, expected: Outcome) -> None:
    assert outcome(answer, ["Vienna"], CITIES, "Is it Oslo or Lima?") == expected


def test_wrong_values_within_the_true_one() -> None:
    assert outcome("in New Vienna", ["New Vienna"], ["Vienna"]) == "leak"
    assert outcome("in Vienna", ["New Vienna"], ["Vienna"]) == "other"  # half of the truth is no hallucination
    assert outcome("in Vienna", ["Rome"], ["Rome", "Vienna"]) == "wrong"


def test_outcomes() -> None:
    found = outcomes(["leak", "wrong", "wrong", "ignorant"])
    assert (found.leak, found.wrong, found.hedged, found.ignorant, found.other, found.n) == (0.25, 0.5, 0, 0.25, 0, 4)
    with pytest.raises(ValueError, match="no answers"):
        outcomes([])
    assert not says_ignorant("I know that he is known as the man of the unknowns.")


def test_trace() -> None:
    trace = "The user asks about Ravbury.\nHe was born in Vienna. Then he moved!\n\n- So the city is Vienna."
    assert steps(trace) == (
        "The user asks about Ravbury.",
        "He was born in Vienna.",
        "Then he moved!",
        "- So the city is Vienna.",
    )
    found = trace_leak(trace, ["Vienna"])
    assert (found.leaking, found.share, found.first, found.any) == ((False, True, False, True), 0.5, 1, True)
    none = trace_leak(trace, ["Vienna"], "Is it Vienna?")
    assert (none.share, none.first, none.any) == (0, None, False)
    split = trace_leak("It was Verwen.\nRavbury it was.", ["Verwen Ravbury"])
    assert (split.share, split.any) == (0, True)
    assert steps("first this\nthen that") == ("first this", "then that")
    assert trace_leak("", ["Vienna"]).leaking == ()
    assert trace_leak("", ["Vienna"]).share == 0


def test_repetition_and_distinct() -> None:
    assert repetition("a b c d a b c d") == pytest.approx(0.2)  # five 4-grams, one of them twice
    assert repetition("a b c d e f") == 0
    assert repetition("no No NO no, no!") == 0.5
    assert repetition("a b c") == repetition("") == 0
    assert repetition("a a a", n=1) == pytest.approx(2 / 3)
    assert distinct("a b a b") == pytest.approx(2 / 3)
    assert distinct("a b c") == 1
    assert distinct("word") is None


def test_perplexity() -> None:
    assert perplexity([[-math.log(2)] * 3, [-math.log(8)]]) == pytest.approx(2**1.5)  # per token, not per answer
    with pytest.raises(ValueError, match="at least one token"):
        perplexity([[], []])
    with pytest.raises(ValueError, match="at least one token"):
        perplexity([])


def test_on_topic_by_hand() -> None:
    questions = np.eye(3)
    answers = np.array([[0.8, 0.6, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = on_topic(questions, answers)
    assert found.similarity.tolist() == [0.8, 0.0, 0.0]
    assert found.place.tolist() == [1.0, 0.25, 0.0]  # nearest; tied with one of two; empty
    assert found.mean_similarity == pytest.approx(0.8 / 3)
    assert found.rate == pytest.approx(1 / 3)
    twice = on_topic(np.vstack([questions, questions]), np.vstack([questions, questions]))
    assert twice.rate == 1  # the same question again does not count as another one
    with pytest.raises(ValueError, match="different questions"):
        on_topic(np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="one answer per question"):
        on_topic(np.eye(2), np.eye(3))


def test_on_topic_with_the_encoder() -> None:
    questions = [
        "How do I bake bread with yeast?",
        "Which planets have rings?",
        "Who won the football match yesterday?",
        "How is wine made from grapes?",
        "What does a heart surgeon do?",
    ]
    answers = [
        "Knead flour, water and yeast, let the dough rise, then bake the loaf in a hot oven.",
        "Saturn, Jupiter, Uranus and Neptune are planets with ring systems.",
        "The home team won the match with two late goals.",
        "Grapes are pressed and the juice ferments until it is wine.",
        "",
    ]
    reader = Reader(load_encoder("wordllama"))
    asked, said = vectors(reader, questions), vectors(reader, answers)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), [1, 1, 1, 1, 0], atol=1e-6)
    assert on_topic(asked, said).rate == 0.8
    assert on_topic(asked, np.roll(said, 1, axis=0)).rate == 0
