"""Assistants of logit differences in one worker: who holds which, and how what they say is taken from the logits.

How many there are, and of how many layers, is fixed when the engine starts, because vLLM sizes their KV caches then:
`lethe engine --assistants 6,6` writes it into vLLM's additional configuration. Their weights come with the programs.

A step in which no request is under such a program does not run them. That is sound because every KV block of a flagged
request carries the program and its generation in its hash (`cache.py`): the blocks of other requests, for which no
assistant ran, are never read under a program, nor are blocks that an assistant wrote with other weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from steering.assistant import Difference, DifferenceProgram
from steering.engine.vllm.stack import Weights
from steering.logits import taken
from steering.program import ProgramError

MAX_ASSISTANTS = 16
TOGETHER = 64
"""Rows that are merged at once; each needs some ten float32 vectors of the vocabulary's width."""


class Host(Protocol):
    """A place for one assistant, see `steering.engine.vllm.stack.Stack`."""

    layers: int

    def __call__(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Hidden states of embedded tokens."""

    def check(self, weights: Weights) -> None:
        """Raise `ProgramError` for weights that do not fit."""

    def load(self, weights: Weights) -> None:
        """Replace the weights."""

    def clear(self) -> None:
        """Forget the weights."""


def reserved(additional: Any) -> tuple[int, ...]:
    """Layers of every assistant, from vLLM's additional configuration. Raises ValueError for one that is malformed."""
    lethe = additional.get("lethe") if isinstance(additional, dict) else None
    depths = tuple(map(int, (lethe.get("assistants") or ()) if isinstance(lethe, dict) else ()))
    if len(depths) > MAX_ASSISTANTS or min(depths, default=1) < 1:
        raise ValueError(f"assistants: up to {MAX_ASSISTANTS} of at least one layer; got {list(depths)}")
    return depths


class Assistants:
    """Places for assistants, and the rows of one step that are under a program of theirs.

    Rows are numbered as in the flattened batch. The number of a row travels in its hidden state to where logits are
    computed, so whichever rows vLLM asks logits for, each is merged under its own program.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        tokens: int,
        hidden_size: int,
        device: torch.device,
        embed: Callable[[Tensor], Tensor],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.hosts, self.hidden_size, self._embed = hosts, hidden_size, embed
        self._held: dict[int, tuple[DifferenceProgram, list[int]]] = {}
        size = tokens if hosts else 0
        # fixed addresses, which CUDA graphs need
        self._embeddings = torch.zeros(size, hidden_size, dtype=dtype, device=device)
        self._slot = torch.zeros(size, dtype=torch.int64, device=device)
        self._alpha = torch.zeros(size, device=device)
        self._rank = torch.zeros(size, dtype=torch.int64, device=device)
        self._rows: list[tuple[str, int, int]] = []  # request, [first, end)
        self._active: list[int] = []  # slots
        self._running = list(
            range(len(hosts))
        )  # until the first step, so that vLLM's warm-up compiles and measures all
        self._merged: set[int] = set()  # rows
        self._sick: list[int] = []

    @property
    def sites(self) -> list[str]:
        """What a worker reports of them."""
        return [f"assistant.{host.layers}" for host in self.hosts]

    # Programs.

    def check(self, program: Difference) -> list[int]:
        """The places that a program would get. Raises `ProgramError` where it has none, or does not fit."""
        layers, roles = program.difference.layers, program.roles
        held = {place for _, places in self._held.values() for place in places}
        fitting = [i for i, host in enumerate(self.hosts) if host.layers == layers]
        free = [i for i in fitting if i not in held][: len(roles)]
        if len(free) < len(roles):
            have = ",".join(str(host.layers) for host in self.hosts)
            option = (
                f"--assistants {','.join([*([have] if have else []), *([str(layers)] * (len(roles) - len(free)))])}"
            )
            raise ProgramError(
                f"the program needs {len(roles)} assistant(s) of {layers} layers, and this engine has {len(free)} free "
                f"({have or 'none'} reserved): start it with `lethe engine {option}`"
            )
        for role, place in zip(roles, free, strict=True):
            self.hosts[place].check(program.weights(role))
        return free

    def write(self, slot: int, program: Difference) -> None:
        """Load the assistants of a program. Raises `ProgramError`; its places are free then."""
        places = self.check(program)
        for role, place in zip(program.roles, places, strict=True):
            self.hosts[place].load(program.weights(role))
        self._held[slot] = program.difference, places

    def clear(self, slot: int) -> None:
        """Take a program out, if there is one in this slot."""
        for place in self._held.pop(slot, (None, []))[1]:
            self.hosts[place].clear()

    # The step path.

    def begin(self) -> None:
        """A new step, without any row so far."""
        if self._rows:
            self._slot.zero_()
        self._rows, self._active, self._running, self._merged, self._sick = [], [], [], set(), []

    def add(self, slot: int, dose: float, request: str, first: int, end: int) -> None:
        """Rows [first, end) are under a program. Raises ValueError for a dose that would leave them as they are."""
        program, places = self._held[slot]
        alpha, rank = program.at(dose)
        if not 0 < alpha < float("inf"):
            raise ValueError(f"dose {dose} of a logit difference")
        self._slot[first:end], self._alpha[first:end], self._rank[first:end] = slot, alpha, rank
        self._rows.append((request, first, end))
        if slot not in self._active:
            self._active.append(slot)
            self._running = sorted({*self._running, *places})

    def beside(self, hidden: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
        """Run the assistants that this step needs: [n, hidden], and where there are some, what they made and the row.

        The row's number is its 32 bits in columns of the model's dtype, which no copy changes.
        """
        if not self._running:
            return hidden
        n = len(hidden)
        self._embeddings[:n].copy_(self._embed(ids))
        made = [self.hosts[place](self._embeddings[:n], positions) for place in self._running]
        rows = torch.arange(n, dtype=torch.int32, device=hidden.device).view(hidden.dtype).reshape(n, -1)
        return torch.cat([hidden, *made, rows], dim=1)

    def merged(self, hidden: Tensor, head: Callable[[Tensor], Any]) -> Any:
        """Logits of what `beside` made for any of its rows; unflagged rows keep the bits that `head` gives them.

        `head` returns None on ranks that gather no logits, which must compute theirs all the same.
        """
        n, width = hidden.shape[0], self.hidden_size
        if hidden.shape[1] == width:
            return head(hidden)
        blocks = hidden[:, : width * (1 + len(self._running))].view(n, -1, width)
        logits = head(blocks[:, 0].contiguous())
        if not self._active:  # a warm-up, whose hidden states may be random
            return logits
        rows = hidden[:, width * (1 + len(self._running)) :].contiguous().view(torch.int32)[:, 0].long()
        slots = self._slot[rows]
        for slot in self._active:
            found = (slots == slot).nonzero()[:, 0]
            for at in range(0, len(found), TOGETHER):
                self._merge(slot, blocks, rows, found[at : at + TOGETHER], logits, head)
        return logits

    def _merge(
        self, slot: int, blocks: Tensor, rows: Tensor, part: Tensor, logits: Any, head: Callable[[Tensor], Any]
    ) -> None:
        """Write the merged logits of some rows of one program."""
        program, places = self._held[slot]
        said = [head(blocks[part, 1 + self._running.index(place)]) for place in places]
        at = rows[part]
        self._merged.update(at.tolist())
        if logits is None:
            return
        target, *others = (one.float() for one in (logits[part], *said))
        out = taken(target, others, program, self._alpha[at], self._rank[at])
        self._sick += at[out.isnan().any(dim=1)].tolist()
        # a sampler may not take a row that is not a number; the request is ended before its token leaves
        logits[part] = out.masked_fill(out.isnan(), 0.0).to(logits.dtype)

    def failed(self) -> dict[str, str]:
        """Requests of this step whose logits must not be answered with, and why.

        Of every request the last row is proof: it is the one that a sampler asks for.
        """
        sick = {request for request, first, end in self._rows if any(first <= row < end for row in self._sick)}
        lost = {request for request, _, end in self._rows if end - 1 not in self._merged}
        return dict.fromkeys(sick, "not-a-number") | dict.fromkeys(lost, "hook-not-run")
