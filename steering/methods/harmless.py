"""Harmless texts for methods whose edit must stay away from them, and the activations of their tokens.

A condition that is fitted on harmless texts says little about texts of another kind: AlphaSteer's gate, near zero on
the texts that its null space was taken from, had a deviation of 0.5 on a domain outside of them. Thresholds are
therefore calibrated on running text where conditions are fitted on requests, and measured on other texts again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steering.engine.local.model import LocalModel
from steering.methods.trial import prompt

BATCH = 16
LEAST = 40
MOST = 240
"""Texts of each kind: fewer are refused, more are not used."""
LONGEST = 400
"""Characters of a text that are read."""


@dataclass(frozen=True, slots=True)
class Harmless:
    """Texts that nothing must happen to.

    Attributes:
        near: the policy's own neighbours, questions much like those that are forgotten. May be empty.
        asked: everyday requests.
        told: running text, of another kind than both.
    """

    near: Sequence[str] = ()
    asked: Sequence[str] = ()
    told: Sequence[str] = ()


NONE = Harmless()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Activations [layers, tokens, hidden] of the content tokens of harmless texts, each text in one part only.

    Attributes:
        fit: requests and neighbours, which a condition is fitted on.
        calibration: running text, which a threshold is set on.
        check: other running text and requests; check_near: other neighbours. Both are only measured.
    """

    layers: tuple[int, ...]
    fit: Tensor
    calibration: Tensor
    check: Tensor
    check_near: Tensor

    def at(self, layer: int) -> Tokens:
        """Those after one layer, [tokens, hidden]."""
        i = self.layers.index(layer)
        return Tokens((layer,), self.fit[i], self.calibration[i], self.check[i], self.check_near[i])


def gather(model: LocalModel, harmless: Harmless, layers: Sequence[int], seed: int = 0) -> Tokens:
    """Run harmless texts through the model. Raises ValueError where there are fewer than `LEAST` of a kind."""
    for kind, texts in (("everyday requests", harmless.asked), ("pieces of running text", harmless.told)):
        if len(texts) < LEAST:
            raise ValueError(f"a conditional edit is calibrated on at least {LEAST} {kind}, not {len(texts)}")
    rng = random.Random(seed)
    near, asked, told = (
        rng.sample(list(texts), k=min(len(texts), MOST)) for texts in (harmless.near, harmless.asked, harmless.told)
    )

    def run(texts: Sequence[str]) -> Tensor:
        return activations(model, texts, layers)

    third = len(asked) // 3
    half, middle = len(near) // 2, len(told) // 2
    return Tokens(
        layers=tuple(layers),
        fit=run([*near[:half], *asked[third:]]),
        calibration=run(told[:middle]),
        check=run([*asked[:third], *told[middle:]]),
        check_near=run(near[half:]),
    )


def activations(model: LocalModel, texts: Sequence[str], layers: Sequence[int]) -> Tensor:
    """Stream [layers, tokens, hidden] of the tokens of user texts, those of the template and the sink left out."""
    found = [torch.zeros(len(layers), 0, model.fingerprint.hidden_size, device=model.device)]
    for at in range(0, len(texts), BATCH):
        rows = [prompt(model, text[:LONGEST], [(0, len(text[:LONGEST]))]) for text in texts[at : at + BATCH]]
        streams = model.activations([ids for ids, _ in rows], layers)
        for stream, (_, flat) in zip(streams, rows, strict=True):
            inside = [t for a, b in zip(flat[::2], flat[1::2], strict=True) for t in range(a, b) if t > 0]
            found.append(stream[:, inside])
    return torch.cat(found, dim=1)
