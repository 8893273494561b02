"""A causal language model on transformers, with interventions: reference, fitting, and the embedded engine.

This is the plain reading of the methods: look up the embeddings of the prompt, corrupt the rows of the mask, run the
model on embeddings with the stream of its rows edited after the layers of their programs, take the difference of their
assistants from the logits, decode with a KV cache. A batch is padded on the left, and a row's result is that of the row
alone up to rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from steering.activation import Activation
from steering.assistant import Difference
from steering.engine.local.assistants import Lane, truncated
from steering.engine.local.decoding import Decoding, padding
from steering.engine.local.residual import EngineFaultError, Push, recorded, steered
from steering.ops import NOISE_ROWS, corrupt, noise_table, top_k_threshold
from steering.program import AnyProgram, Program, resolve
from steering.spec import ModelFingerprint
from steering.weights import WeightsError, fingerprint
from steering.weights import resolve as resolve_weights

Ids = Sequence[int]
DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True, slots=True)
class Edit:
    """A program at a dose over the tokens of flat spans `[start, end, start, end, ...]` of one prompt.

    `prompt` is where generated tokens begin, for ids that hold an answer already; None: all of them are prompt.
    """

    program: AnyProgram
    dose: float
    spans: tuple[int, ...]
    prompt: int | None = None


class Embedded(NamedTuple):
    """A prompt ready to run.

    Attributes:
        rows: input embeddings [tokens, hidden] in the model's dtype, corrupted where the edit says so.
        edited: how many tokens the edit treats.
        edit: an edit of the stream or a logit difference, which is still to be made in the forward pass.
    """

    rows: Tensor
    edited: int
    edit: Edit | None = None

    @property
    def push(self) -> Push | None:
        """What is done to every edited token of this row."""
        if self.edit is None or not isinstance(self.edit.program, Activation):
            return None
        return Push(self.edit.program, self.edit.program.gate(self.edit.dose))

    def positions(self) -> list[tuple[int, int]]:
        """Ranges of the tokens whose stream is edited."""
        if self.edit is None or not isinstance(self.edit.program, Activation):
            return []
        size = len(self.rows)
        return self.edit.program.positions(0, size, self.edit.prompt or size, self.edit.spans)


class LocalModel:
    """A causal language model of transformers and its tokenizer.

    Attributes:
        name: what it is served as.
        fingerprint: its identity; programs fitted for another one must not be run.
        context: longest sequence in tokens, prompt and answer together.
        vocabulary: width of the logits.
        layers: number of decoder layers.
        eos: ids that end an answer.
        defaults: sampling settings of the model's generation_config.json, for requests that leave them open.
    """

    def __init__(self, name: str, network: Any, tokenizer: Any, identity: ModelFingerprint) -> None:
        self.name, self.network, self.tokenizer, self.fingerprint = name, network, tokenizer, identity
        config = network.config.get_text_config()
        self.context: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self.layers: int = config.num_hidden_layers
        ends = network.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else ends or []
        self.eos = frozenset(i for i in [*ends, tokenizer.eos_token_id] if i is not None)
        settings = network.generation_config.to_diff_dict()
        self.defaults: dict[str, Any] = {name: settings[name] for name in DEFAULTS if settings.get(name) is not None}
        self.device = network.get_input_embeddings().weight.device
        self._hosted: WeakKeyDictionary[Difference, list[Any]] = WeakKeyDictionary()

    @classmethod
    def load(
        cls, model: str | Path, dtype: str = "float32", device: str = "cpu", name: str | None = None
    ) -> LocalModel:
        """Load a folder, a fetched short name or a hub id; `name` is what it is served as, and
        `dtype` may be auto, which is that of the weights.

        Raises `WeightsError` or what transformers raises.
        """
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - heavy

        place = resolve_weights(str(model))
        folder = place if isinstance(place, Path) else Path(snapshot_download(place))
        if dtype == "auto":
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            dtype = config.get("dtype") or config.get("torch_dtype") or "float32"
        kind = getattr(torch, dtype, None)
        if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
            raise WeightsError(f"{dtype} is not a floating data type of torch; use float32, bfloat16 or float16")
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=kind).to(device).eval().requires_grad_(False)
        name = name or (Path(model).name if place == Path(model) else str(model))
        identity = fingerprint(folder, dtype).model_copy(update={"id": name})
        return cls(name, network, AutoTokenizer.from_pretrained(folder), identity)

    def chat_ids(self, *turns: str, system: str | None = None) -> list[int]:
        """Prompt of a conversation of alternating user and assistant turns, ready for the next answer."""
        messages = [] if system is None else [{"role": "system", "content": system}]
        messages += [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def embed(self, ids: Ids, edit: Edit | None = None) -> Embedded:
        """Look up the embeddings of a prompt and corrupt those of the edit. Raises `EngineFaultError` for its spans."""
        rows: Tensor = self.network.get_input_embeddings()(torch.tensor(ids, dtype=torch.long, device=self.device))
        if edit is None:
            return Embedded(rows, 0)
        chosen = torch.zeros(len(ids), dtype=torch.bool, device=self.device)
        for start, end in zip(edit.spans[::2], edit.spans[1::2], strict=True):
            if not 0 <= start < end <= len(ids):
                raise EngineFaultError(f"span {start}:{end} lies outside of a prompt of {len(ids)} tokens")
            chosen[start:end] = True
        if not isinstance(edit.program, Program):
            return Embedded(rows, int(chosen.sum()), edit)
        return Embedded(self._corrupted(rows, chosen, edit.program, edit.dose), int(chosen.sum()))

    def _corrupted(self, rows: Tensor, chosen: Tensor, program: Program, dose: float) -> Tensor:
        row, size = resolve(program.eco, dose), len(rows)
        threshold = top_k_threshold(rows, row.top_k) if row.top_k else self._full(row.threshold, size)
        position = torch.arange(size, device=self.device)
        noise = noise_table(rows.shape[1]).to(self.device)[(program.eco.seed + position) % NOISE_ROWS]
        return corrupt(
            rows,
            chosen,
            self._full(row.gain, size),
            threshold,
            self._full(row.sigma, size),
            torch.full((size,), row.dims, device=self.device),
            noise,
            self._full(row.weight, size),
            torch.from_numpy(program.substitute.copy()).to(self.device).expand(size, -1),
        )

    def host(self, program: AnyProgram) -> None:
        """Make the assistants of a program, if it has some, from its weights. Raises `ProgramError`."""
        if isinstance(program, Difference) and program not in self._hosted:
            layers = program.difference.layers
            networks = [truncated(self.network, layers, program.weights(role)) for role in program.roles]
            self._hosted[program] = networks

    def _lanes(self, prompts: Sequence[Embedded], *, decoding: bool) -> list[Lane]:
        """Assistants of a batch, a lane per program; with KV caches where answers will be decoded."""
        from transformers import DynamicCache  # noqa: PLC0415 - heavy

        edits = [prompt.edit for prompt in prompts]
        found = list({id(e.program): e.program for e in edits if e and isinstance(e.program, Difference)}.values())
        lanes = []
        for program in found:
            self.host(program)
            networks = self._hosted[program]
            doses = [e.dose if e is not None and e.program is program else 0.0 for e in edits]
            caches = [DynamicCache(config=network.config) if decoding else None for network in networks]
            lanes.append(Lane(program, networks, doses, caches))
        return lanes

    def _full(self, value: float, size: int) -> Tensor:
        return torch.full((size,), value, device=self.device)

    def _embed_all(self, batch: Sequence[Ids], edits: Sequence[Edit | None] | None) -> list[Embedded]:
        if not batch or not all(batch):
            raise ValueError("a batch needs at least one prompt, and a prompt at least one token")
        return [self.embed(ids, edit) for ids, edit in zip(batch, edits or [None] * len(batch), strict=True)]

    def _run(self, prompts: Sequence[Embedded], keep: int, cache: Any, lanes: Sequence[Lane] = ()) -> Any:
        """Forward pass over a left-padded batch: (logits [rows, keep or width, vocabulary], mask [rows, width])."""
        width, first = max(len(prompt.rows) for prompt in prompts), prompts[0].rows
        embeddings = first.new_zeros(len(prompts), width, first.shape[1])
        mask = torch.zeros(len(prompts), width, dtype=torch.long, device=self.device)
        chosen = torch.zeros(len(prompts), width, dtype=torch.bool, device=self.device)
        for i, prompt in enumerate(prompts):
            size = len(prompt.rows)
            embeddings[i, width - size :] = prompt.rows
            mask[i, width - size :] = 1
            for start, end in prompt.positions():
                chosen[i, width - size + start : width - size + end] = True
        inputs = {
            "inputs_embeds": embeddings,
            "attention_mask": padding(mask),
            "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
            "logits_to_keep": keep,
        }
        with steered(self.network, [prompt.push for prompt in prompts], chosen):
            out = self.network(**inputs, past_key_values=cache, use_cache=cache is not None)
        logits = out.logits.float()
        for lane in lanes:
            logits = lane.merge(logits, **inputs)
        return logits, mask

    @torch.inference_mode()
    def logits(self, batch: Sequence[Ids], edits: Sequence[Edit | None] | None = None) -> list[Tensor]:
        """Logits of every position of every prompt: one [tokens, vocabulary] float32 tensor per prompt.

        A batch of b prompts of n tokens needs 4 * b * n * vocabulary bytes.
        """
        prompts = self._embed_all(batch, edits)
        logits, mask = self._run(prompts, 0, None, self._lanes(prompts, decoding=False))
        width = mask.shape[1]
        return [logits[i, width - len(ids) :] for i, ids in enumerate(batch)]

    @torch.inference_mode()
    def prefill(self, batch: Sequence[Ids], edits: Sequence[Edit | None] | None = None) -> Decoding:
        """Run the prompts and return the state from which their answers are decoded."""
        return self.prefill_embedded(self._embed_all(batch, edits))

    @torch.inference_mode()
    def prefill_embedded(self, prompts: Sequence[Embedded]) -> Decoding:
        """`prefill` for prompts that were embedded before; none may be empty."""
        from transformers import DynamicCache  # noqa: PLC0415 - heavy

        cache = DynamicCache(config=self.network.config)
        lanes = self._lanes(prompts, decoding=True)
        logits, mask = self._run(prompts, 1, cache, lanes)
        edited, pushes = [prompt.edited for prompt in prompts], [prompt.push for prompt in prompts]
        return Decoding(self.network, cache, mask, logits[:, -1], edited, pushes, lanes)

    @torch.inference_mode()
    def activations(self, batch: Sequence[Ids], layers: Sequence[int]) -> list[Tensor]:
        """The residual stream after decoder layers, counted from 0: one [layers, tokens, hidden] float32 per prompt."""
        with recorded(self.network, layers) as kept:
            _, mask = self._run(self._embed_all(batch, None), 1, None)
        width = mask.shape[1]
        return [torch.stack([kept[k][i, width - len(ids) :].float() for k in layers]) for i, ids in enumerate(batch)]

    def generate(
        self,
        batch: Sequence[Ids],
        edits: Sequence[Edit | None] | None = None,
        max_tokens: int = 64,
        batch_size: int = 16,
    ) -> list[list[int]]:
        """Greedy answers, without the id that ended them. Prompts of similar length are run together."""
        answers: list[list[int]] = [[] for _ in batch]
        order = sorted(range(len(batch)), key=lambda i: len(batch[i]))
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            chosen = [edits[i] for i in rows] if edits is not None else None
            for i, answer in zip(rows, self._greedy([batch[i] for i in rows], chosen, max_tokens), strict=True):
                answers[i] = answer
        return answers

    def _greedy(
        self, batch: Sequence[Ids], edits: Sequence[Edit | None] | None, max_tokens: int
    ) -> Iterable[list[int]]:
        room = [max(0, min(max_tokens, self.context - len(ids))) for ids in batch]
        return self.prefill(batch, edits).run(lambda logits, _: logits.argmax(dim=1).tolist(), self.eos, room)
