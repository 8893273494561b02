"""ULD (arXiv 2406.08607): an assistant that remembers what must be forgotten and is uniform elsewhere is subtracted.

Training follows section 3 there: cross-entropy on what must be forgotten, with paraphrases, and a weighted term towards
uniformity on everything else, with wrong answers to the same questions among it. Changed: layers are trained whole
instead of low-rank additions to them; uniformity is asked of answer tokens only, not of questions and padding; and the
served model's own answers stand for texts that nobody has.
"""

from __future__ import annotations

from steering.assistant import REMEMBERING
from steering.methods.assisted import Plans

PLANS: Plans = {REMEMBERING: (("forgotten", "said"), ("swapped", "uniform"), ("kept", "uniform"))}
