"""ROUGE of an answer against the true one, by the package rouge-score."""

from __future__ import annotations

from dataclasses import dataclass

from rouge_score.rouge_scorer import RougeScorer


@dataclass(frozen=True, slots=True)
class Rouge:
    """Recall (share of the truth found in the answer) and F1, of single words and of the longest common subsequence."""

    rouge1_recall: float
    rouge1_f1: float
    rougeL_recall: float  # noqa: N815 - the field's spelling, and OpenUnlearning's key
    rougeL_f1: float  # noqa: N815


class Rouger:
    """Scores answers.

    `use_stemmer` has no default because published figures differ in it: TOFU and OpenUnlearning stem, muse_bench does
    not. TOFU reports `rougeL_recall`, MUSE `rougeL_f1`.
    """

    def __init__(self, *, use_stemmer: bool) -> None:
        self._scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=use_stemmer)

    def score(self, truth: str, answer: str) -> Rouge:
        """Score one answer; one without a word of Latin letters or digits scores 0."""
        found = self._scorer.score(truth, answer)
        one, longest = found["rouge1"], found["rougeL"]
        return Rouge(float(one.recall), float(one.fmeasure), float(longest.recall), float(longest.fmeasure))
