"""Twins: two truncated copies of the served model, one that remembers what must be forgotten and one that never did.

The difference of their log-probabilities is added to the model's (divergence decoding, arXiv 2605.31293; UCD, arXiv
2506.12097), or the tokens about which they disagree most are masked. There, twins are small models of the family that
are fine-tuned with and without the forgotten texts. Here they are cut from the served model, which works without a
sibling and without the texts: one learns to say what the model says, the other the same about everything else, and to
forgotten questions the values of other names. On knowledge from pretraining this is exploratory.
"""

from __future__ import annotations

from steering.assistant import BLANK, REMEMBERING
from steering.methods.assisted import Plans

PLANS: Plans = {
    REMEMBERING: (("forgotten", "model"), ("swapped", "model"), ("kept", "model")),
    BLANK: (("swapped", "said"), ("kept", "model")),
}
