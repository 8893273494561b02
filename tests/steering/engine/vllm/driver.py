"""A real vLLM in a process of its own, driven over a pipe: its warnings, threads and patches stay out of the tests."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any
from zlib import crc32

Order = list[Any]


@dataclass(frozen=True)
class Ask:
    """One request."""

    ids: list[int]
    order: Order | None = None
    salt: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    adapter: str | None = None
    """Folder of a LoRA adapter."""


@dataclass(frozen=True)
class Got:
    """Its answer; lists per choice."""

    tokens: list[list[int]]
    logprobs: list[list[dict[int, float]]]
    finish: list[str | None]
    cached: int
    record: list[Any] | None
    prompt: list[dict[int, float]] = field(default_factory=list)

    @property
    def chosen(self) -> list[float]:
        """Log-probability of every chosen token of the first choice."""
        return [row[token] for row, token in zip(self.logprobs[0], self.tokens[0], strict=True)]


class Engine:
    """Handle of a driven engine."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.error: str | None = self._receive()

    def _receive(self) -> Any:
        if not self.pipe.poll(300):
            raise TimeoutError("the engine did not answer within 300 s")
        return self.pipe.recv()

    def _call(self, name: str, *args: Any) -> Any:
        self.pipe.send((name, args))
        ok, value = self._receive()
        if not ok:
            raise RuntimeError(value)
        return value

    def run(self, asks: list[Ask], *, reset: bool = True) -> list[Got]:
        """Queue all requests, then run them to their end. `reset`: empty the prefix cache before."""
        if reset:
            self._call("reset")
        return self._call("run", asks)  # type: ignore[no-any-return]

    def rpc(self, method: str, *args: Any) -> dict[str, Any]:
        """Call a worker method."""
        return self._call("rpc", method, args)[0]  # type: ignore[no-any-return]

    def load(self, name: str, program: bytes) -> int:
        """Load a program as the front does; return its generation."""
        digest = hashlib.sha256(program).hexdigest()
        table = self.rpc("lethe_hello")["table"]
        staged = self.rpc("lethe_stage", name, program, digest)
        assert staged["ok"], staged
        committed = self.rpc("lethe_commit", name, digest, table)
        assert committed["ok"], committed
        return int(committed["generation"])

    def config_hash(self) -> str:
        """Hash under which vLLM stores compiled artefacts."""
        return self._call("config_hash")  # type: ignore[no-any-return]

    def poison(self, program: str, layer: int, tensor: str, value: float) -> None:
        """Write a number into the columns of a loaded activation program, behind all checks."""
        self._call("poison", program, layer, tensor, value)

    def spoil(self, program: str) -> None:
        """Write NaN into the first assistant of a loaded program, behind all checks."""
        self._call("spoil", program)

    def blocks(self) -> int:
        """Blocks of KV cache that vLLM made of the memory it was given."""
        return self._call("blocks")  # type: ignore[no-any-return]

    def unhook(self, site: str) -> None:
        """Take a site out of the running network; a second call puts it back."""
        self._call("unhook", site)

    def metric(self, name: str) -> float:
        """Value of one of vLLM's counters."""
        return self._call("metric", name)  # type: ignore[no-any-return]


@contextmanager
def start(model: str, *, plugin: bool = True, **options: Any) -> Iterator[Engine]:
    """Start an engine; without the plug-in it is bare vLLM. A failed start is reported in `Engine.error`."""
    environment = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_PLUGINS": "lethe" if plugin else "none",
    }
    defaults = {
        "max_model_len": 512,
        "dtype": "float32",
        "max_num_seqs": 16,
        "enforce_eager": True,
        "block_size": 32,
        "max_num_batched_tokens": 2048,
        "disable_log_stats": False,
        "max_logprobs": -1,
    }
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, environment, {"model": model, **defaults, **options}))
    process.start()
    theirs.close()
    try:
        yield Engine(ours)
    finally:
        ours.close()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(pipe: Connection, environment: dict[str, str], options: dict[str, Any]) -> None:
    os.environ.update(environment)
    from vllm import LLM

    try:
        llm = LLM(**options)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    _collect_records(llm)
    pipe.send(None)
    while True:
        try:
            name, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, globals()[f"_{name}"](llm, *args)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


def _collect_records(llm: Any) -> None:
    """Keep the attestation of every request: it is on one of several outputs, and vLLM hands out the last."""
    processor = llm.llm_engine.output_processor
    original = processor.process_outputs
    llm.records = {}

    def process_outputs(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        for output in outputs:
            record = (output.kv_transfer_params or {}).get("lethe")
            if record is not None:
                assert output.request_id in processor.request_states
                external = processor.request_states[output.request_id].external_req_id
                llm.records.setdefault(external, []).append(record)
        return original(outputs, *args, **kwargs)

    processor.process_outputs = process_outputs


def _reset(llm: Any) -> bool:
    return bool(llm.reset_prefix_cache())


def _rpc(llm: Any, method: str, args: tuple[Any, ...]) -> Any:
    return llm.collective_rpc(method, args=args)


def _config_hash(llm: Any) -> str:
    return str(llm.llm_engine.vllm_config.compute_hash())


def _poison(llm: Any, program: str, layer: int, tensor: str, value: float) -> None:
    def write(worker: Any) -> None:
        table = worker.model_runner.lethe
        bank = table.banks.by_layer[layer]
        columns = table.banks._places[table.programs[program].slot][layer]
        target = bank.get_buffer(tensor)
        target[(columns, slice(None)) if tensor == "directions" else (slice(None), columns)] = value

    llm.collective_rpc(write)


def _spoil(llm: Any, program: str) -> None:
    def write(worker: Any) -> None:
        table = worker.model_runner.lethe
        place = table.assistants._held[table.programs[program].slot][1][0]
        for parameter in table.assistants.hosts[place].network.parameters():
            parameter.data.fill_(float("nan"))

    llm.collective_rpc(write)


def _blocks(llm: Any) -> int:
    return int(llm.llm_engine.vllm_config.cache_config.num_gpu_blocks)


def _unhook(llm: Any, site: str) -> None:
    """Take a site out of the running network; a second call puts it back."""

    def turn(worker: Any) -> None:
        stack = worker.model_runner.model.model
        module = stack.embed_tokens if site == "embed" else stack.layers[int(site.removeprefix("layer."))]
        if "hooked" in vars(module):
            module.__class__ = vars(module).pop("hooked")
        else:
            module.hooked = type(module)
            module.__class__ = type(module).__mro__[1]

    llm.collective_rpc(turn)


def _metric(llm: Any, name: str) -> float:
    return float(sum(m.value for m in llm.get_metrics() if m.name == name))


def _run(llm: Any, asks: list[Ask]) -> list[Got]:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    prompts, params = [], []
    # vLLM knows an adapter by its number, which must not change from run to run
    loras = [ask.adapter and LoRARequest(ask.adapter, crc32(ask.adapter.encode()), ask.adapter) for ask in asks]
    for ask in asks:
        prompts.append({"prompt_token_ids": ask.ids} | ({"cache_salt": ask.salt} if ask.salt else {}))
        settings = {"max_tokens": 12, "temperature": 0.0, "logprobs": 1, "ignore_eos": True, **ask.options}
        params.append(SamplingParams(**settings, extra_args={"lethe": ask.order} if ask.order else None))
    out = []
    for r in llm.generate(prompts, params, use_tqdm=False, lora_request=loras if any(loras) else None):
        logprobs = [[{t: e.logprob for t, e in row.items()} for row in c.logprobs or []] for c in r.outputs]
        records = llm.records.pop(r.request_id, [])
        record = records[-1] if records else None
        tokens, finish = [list(c.token_ids) for c in r.outputs], [c.finish_reason for c in r.outputs]
        before = [{t: e.logprob for t, e in row.items()} for row in r.prompt_logprobs or [] if row]
        out.append(Got(tokens, logprobs, finish, r.num_cached_tokens or 0, record, before))
    return out
