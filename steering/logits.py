"""Logit difference: what a model says, less what an assistant that remembers the forgotten adds to it. Pure functions.

Scores are log-probabilities, so that a constant that one of the networks adds to all of its logits changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steering.assistant import DifferenceProgram

LEAST = -100.0
"""Log-probabilities of assistants are not taken below this, in nats: a token to which one gives none at all would
otherwise get an infinite score."""
DISAGREE = 1.0
"""Nats by which a token must be likelier to the twin that remembers before its rank counts."""
BELOW = 40.0
"""How many nats below the last kept token the others lie for the sampler; see `reachable`."""


def logit_difference(
    target: Tensor,
    remembering: Tensor,
    blank: Tensor | None,
    alpha: Tensor,
    rank: Tensor | None,
    plausible: Tensor,
    top_m: Tensor,
    offset: Tensor,
) -> Tensor:
    """Log-probabilities of the next token with the forgotten taken out; rows with alpha 0 keep their bits.

        d = log p_remembering - reference        reference = log p_blank with twins, else log p_target for an offset,
                                                 else 0
        s = log p_target - alpha d               linear: ULD (arXiv 2406.08607) with one assistant, with twins
                                                 divergence decoding (arXiv 2605.31293)
        s = log p_target - alpha relu(d)         offset: "Who's Harry Potter?" (arXiv 2310.02238), equation 1
        s = log p_target, -inf for the `rank` kept tokens of largest d   rank: divergence decoding, but only where d is
                                                                         above DISAGREE: where twins agree, noise ranks
        result = log_softmax(s where kept, else -inf)
        kept   = (p_target >= plausible * max p_target) or among the `top_m` best of the target

    The plausibility rule alone keeps nothing but the answer where a model is certain of it (p = 0.99 at 0.01), which
    switches the method off exactly on what was learned by heart; the union with `top_m` is what makes it forget.
    Temperature, penalties, allowed tokens and min-p come afterwards.

    Args:
        target, remembering, blank: [n, vocabulary] raw logits, any floating dtype; `blank` None for one assistant.
        alpha: [n], float32; 0 switches a row off, with `rank` > 0 any other value only switches it on.
        rank: [n], int64, or None where no row has one; 0 takes the difference. A row keeps at least one token.
        plausible: [n], float32 in [0, 1].
        top_m: [n], int64 >= 1; tokens that tie with the last one are kept as well.
        offset: [n], bool.

    Returns:
        [n, vocabulary] in the dtype of `target`, computed in float32 (float64 for float64 input). -inf of the target
        stays. A row in which an assistant is not a number is not a number: it must not be answered with.
    """
    wide = torch.float64 if target.dtype == torch.float64 else torch.float32
    t = torch.log_softmax(target.to(wide), dim=1)
    a = torch.log_softmax(remembering.to(wide), dim=1).clamp(min=LEAST)
    possible = ~torch.isneginf(target)
    if blank is not None:
        reference = torch.log_softmax(blank.to(wide), dim=1).clamp(min=LEAST)
    else:
        reference = torch.where(offset[:, None] & possible, t.clamp(min=LEAST), 0.0)
    d = a - reference
    sick = d.isnan().any(dim=1, keepdim=True)
    best = torch.topk(t, min(int(top_m.max()), t.shape[1]), dim=1).values
    least = best.gather(1, (top_m.clamp(max=best.shape[1]) - 1)[:, None])
    kept = (t >= torch.minimum(least, best[:, :1] + plausible.to(wide)[:, None].log())) & possible
    by_difference = t - alpha.to(wide)[:, None] * torch.where(offset[:, None], d.relu(), d)
    s = by_difference
    if rank is not None:
        s = torch.where(rank[:, None] > 0, t.masked_fill(_most_different(d, kept, rank), -torch.inf), s)
    merged = torch.log_softmax(s.masked_fill(~kept, -torch.inf), dim=1).masked_fill(sick, torch.nan)
    empty = ~possible.any(dim=1, keepdim=True)
    merged = torch.where(empty & ~sick, -torch.inf, merged).to(target.dtype)
    return torch.where(alpha[:, None] > 0, merged, target)


def _most_different(d: Tensor, kept: Tensor, rank: Tensor) -> Tensor:
    """Where the `rank` kept tokens of largest difference are, but never all that are kept: [n, vocabulary]."""
    suspect = kept & (d > DISAGREE)
    order = d.masked_fill(~suspect, -torch.inf).argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(d.shape[1], device=d.device).expand_as(order))
    return suspect & (place < torch.minimum(rank, kept.sum(dim=1) - 1)[:, None])


def reachable(merged: Tensor, target: Tensor) -> Tensor:
    """Merged log-probabilities as raw logits for a sampler: [n, vocabulary].

    They get the normaliser of the target's logits, because a repetition penalty divides positive scores and multiplies
    negative ones. Tokens that were not kept get a score `BELOW` nats under the last kept one. At ordinary temperatures
    they are not drawn. But a client that allows two tokens only, adds a bias of 100, or samples at temperature 50 must
    get what any client gets, a token. That their scores are equal tells a client that biases several of them, and asks
    for log-probabilities, that a request was treated; in the target's order they would tell what was taken out.
    """
    lowest = merged.masked_fill(merged.isneginf(), torch.inf).amin(dim=1, keepdim=True)
    filled = torch.where(merged.isneginf() & ~target.isneginf() & lowest.isfinite(), lowest - BELOW, merged)
    return filled + target.logsumexp(dim=1, keepdim=True)


def taken(target: Tensor, said: Sequence[Tensor], program: DifferenceProgram, alpha: Tensor, rank: Tensor) -> Tensor:
    """Raw logits [n, vocabulary] for a sampler, from which a program takes what its assistants said.

    Args:
        target: [n, vocabulary] raw logits of the model.
        said: the same of every assistant, in the order of the program's roles.
        alpha, rank: [n], what `DifferenceProgram.at` gives for each row's dose; a row with alpha 0 keeps its bits.
    """
    remembering, *blank = said
    plausible = torch.full_like(alpha, program.plausible)
    top_m, offset = torch.full_like(rank, program.top_m), torch.full_like(rank, program.rule == "offset").bool()
    ranks = rank if program.rank else None
    merged = logit_difference(target, remembering, blank[0] if blank else None, alpha, ranks, plausible, top_m, offset)
    return torch.where(alpha[:, None] > 0, reachable(merged, target), target)
