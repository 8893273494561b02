"""The edit table without an engine: which tokens get which columns, and what is left behind."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer

from gateway.commands.engine import parse_assistants, parse_layers, vllm_command
from steering.activation import Activation, EditProgram, parameters
from steering.engine.vllm.assistants import reserved
from steering.engine.vllm.bank import NO_SITES, EditSites, configured
from steering.engine.vllm.compat import IncompatibleError, check_assistants
from steering.engine.vllm.table import EditTable, StepRow
from steering.program import ProgramError
from steering.spec import ModelFingerprint

MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=16)
PROMPT = list(range(10))
SPANS = [0, 3, 5, 8]
SITES = EditSites((0, 2), 4)


def program(layers: tuple[int, ...] = (0, 2, 2), seed: int = 1) -> Activation:
    k = len(layers)
    rng = np.random.default_rng(seed)
    edit = EditProgram(method="projection", layers=layers, strength=1.0, most=2.0, model=MODEL)
    vectors = rng.standard_normal((16, k)).astype(np.float32)
    return Activation(edit, vectors, parameters(k, slope=-1.0), np.ascontiguousarray(vectors.T))


def make(sites: EditSites = SITES) -> EditTable:
    return EditTable(32, 16, torch.device("cpu"), lambda ids: torch.zeros(len(ids), 16), ["embed"], sites)


def load(table: EditTable, name: str, change: Activation) -> int:
    data = change.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    table.stage(name, data, digest)
    return table.commit(name, digest, table.version).generation


def row(name: str, generation: int, at: int, tokens: int, position: int, dose: float = 1.5) -> StepRow:
    return StepRow(name, at, tokens, position, PROMPT, [name, generation, dose, SPANS])


def ran(table: EditTable) -> None:
    """What the sites do in a forward pass."""
    for holder in (table.buffers, *table.banks.by_layer.values()):
        holder.get_buffer("echo").copy_(table.buffers.get_buffer("step"))


def test_masked_and_generated_tokens_get_the_slot() -> None:
    table = make()
    first, second = load(table, "p100000@1", program()), load(table, "p100001@1", program((0,), seed=2))
    slots = {name: loaded.slot for name, loaded in table.programs.items()}
    # a whole prompt, beside the second chunk of another one
    table.fill([row("p100000@1", first, 0, 10, 0), row("p100001@1", second, 10, 4, 6, dose=9.0)])
    ran(table)
    slot, gate = (table.buffers.get_buffer(name).tolist() for name in ("edit_slot", "gate"))
    a, b = slots["p100000@1"], slots["p100001@1"]
    assert slot[:14] == [a, a, a, 0, 0, a, a, a, 0, 0, b, b, 0, 0]
    assert not any(slot[14:])
    assert (gate[1], gate[10]) == (1.5, 2.0), "a dose has a meaning up to what the program says"
    done = table.take()
    assert [done[name][3:] for name in slots] == [[6, 0, "ok"], [2, 4, "ok"]]
    table.fill([row("p100001@1", second, 0, 1, 10), row("p100000@1", first, 1, 1, 10)])
    assert table.buffers.get_buffer("edit_slot")[:3].tolist() == [b, a, 0]
    assert table.take() == {}
    table.fill([])
    assert not table.buffers.get_buffer("edit_slot").any()


def test_a_site_that_did_not_run_is_told() -> None:
    table = make()
    generation = load(table, "p100000@1", program())
    table.fill([row("p100000@1", generation, 0, 10, 0)])
    ran(table)
    table.banks.by_layer[2].get_buffer("echo").zero_()
    assert table.take()["p100000@1"][-1] == "hook-not-run"


def test_columns_lie_where_they_belong_and_are_cleared() -> None:
    table, change = make(), program()
    load(table, "p100000@1", change)
    slot = table.programs["p100000@1"].slot
    for layer, columns in ((0, [0]), (2, [1, 2])):
        bank = table.banks.by_layer[layer]
        used = bank.get_buffer("members")[slot].nonzero().flatten()
        assert torch.equal(bank.get_buffer("probes")[:, used], torch.from_numpy(change.probes[:, columns]))
        assert torch.equal(bank.get_buffer("directions")[used], torch.from_numpy(change.directions[columns]))
        assert torch.equal(bank.get_buffer("phi")[:, used], torch.from_numpy(change.phi[:, columns]))
        assert not bank.get_buffer("members")[:slot].any()
    table.remove("p100000@1", table.version)
    for bank in table.banks.by_layer.values():
        assert not any(bank.get_buffer(name).any() for name in ("probes", "phi", "members", "directions"))
        assert bank.free == list(range(4))


def test_a_full_table_refuses_and_keeps_what_it_has() -> None:
    table = make()
    load(table, "p100000@1", program((0, 0, 2)))
    version = table.version
    with pytest.raises(ProgramError, match="needs 3 columns after layer 0 and 2 are free"):
        table.stage("p100001@1", program((0, 0, 0)).to_bytes(), "d")
    # two gateways staged what fits only once
    for name in ("p100002@1", "p100003@1"):
        table.stage(name, program((0, 0)).to_bytes(), "d")
    table.commit("p100002@1", "d", version)
    with pytest.raises(ProgramError, match="edit table is full"):
        table.commit("p100003@1", "d", version + 1)
    assert list(table.programs) == ["p100000@1", "p100002@1"]
    assert table.version == version + 1


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, NO_SITES),
        ({"lethe": "a string"}, NO_SITES),
        ({"lethe": {"sites": ["embed"]}}, NO_SITES),
        ({"lethe": {"edit": {"layers": [1], "columns": 0}}}, NO_SITES),
        ({"lethe": {"edit": {"layers": [8, 4, 8]}}}, EditSites((4, 8), 64)),
    ],
)
def test_configuration(given: dict[str, Any], want: EditSites) -> None:
    assert configured(given) == want


@pytest.mark.parametrize("given", [{"layers": [0, 1, 2, 3, 4]}, {"layers": [-1]}, {"layers": [1], "columns": 1000}])
def test_configuration_that_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="up to 4 layers, up to 256 columns"):
        configured({"lethe": {"edit": given}})


def test_the_command_says_where_the_sites_are() -> None:
    for text, want in (("", NO_SITES), ("12, 8,8", EditSites((8, 12), 64))):
        command = vllm_command("model", "name", "127.0.0.1", 1, "float32", [], parse_layers(text))
        assert configured(json.loads(command[command.index("--additional-config") + 1])) == want
    with pytest.raises(typer.BadParameter, match="no list of layers"):
        parse_layers("8;12")


def test_the_command_says_how_many_assistants_there_are() -> None:
    for text, want in (("", ()), ("6, 2,6", (6, 2, 6))):
        command = vllm_command("model", "name", "127.0.0.1", 1, "float32", [], (), parse_assistants(text))
        assert reserved(json.loads(command[command.index("--additional-config") + 1])) == want
    with pytest.raises(typer.BadParameter, match="no list of layers"):
        parse_assistants("6x2")
    for given in ([0], [1] * 17):
        with pytest.raises(ValueError, match="up to 16 of at least one layer"):
            reserved({"lethe": {"assistants": given}})


@pytest.mark.parametrize(
    ("architecture", "quantisation", "full", "sharded", "says"),
    [
        ("GemmaForCausalLM", None, False, False, "not tested with GemmaForCausalLM"),
        ("LlamaForCausalLM", "awq", False, False, "quantised models"),
        ("LlamaForCausalLM", None, True, False, "PIECEWISE"),
        ("LlamaForCausalLM", None, False, True, "batch-sharded sampling"),
    ],
)
def test_assistants_are_refused_where_they_were_never_shown_to_run(
    architecture: str, quantisation: str | None, full: bool, sharded: bool, says: str
) -> None:
    graphs = SimpleNamespace(has_full_cudagraphs=lambda: full)
    config = SimpleNamespace(
        model_config=SimpleNamespace(quantization=quantisation),
        compilation_config=SimpleNamespace(cudagraph_mode=graphs),
        parallel_config=SimpleNamespace(enable_batch_sharded_sampling=sharded),
    )
    with pytest.raises(IncompatibleError, match=says):
        check_assistants(config, architecture)


def test_an_engine_without_sites_has_no_banks() -> None:
    table = make(NO_SITES)
    assert table.sites == ["embed"]
    with pytest.raises(ProgramError, match="--edit-layers 0,2"):
        table.stage("p100000@1", program().to_bytes(), "d")
