"""vLLM hosts no assistants yet: it says so, in the front and in every worker."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from steering.engine.vllm.programs import Programs
from steering.engine.vllm.table import EditTable
from steering.engine.vllm.ticket import Refusal
from steering.program import ProgramError
from tests.steering.test_assistant import MODEL, made


class Workers:
    """The remote end of `collective_rpc`, one rank that is ready."""

    async def collective_rpc(self, method: str, **_: Any) -> list[dict[str, Any]]:
        assert method == "lethe_hello", "a program that is refused must not reach a worker"
        return [{"ok": True, "sites": ["embed"], "programs": {}, "table": 0, "boot": "b"}]


@pytest.mark.parametrize("method", ["uld", "twin"])
async def test_the_front_refuses(method: str) -> None:
    with pytest.raises(Refusal, match="local engine") as refused:
        await Programs(Workers(), MODEL).put("p222222@1", made(method).to_bytes())
    assert refused.value.status == 400


def test_a_worker_refuses() -> None:
    table = EditTable(8, 4, torch.device("cpu"), lambda ids: torch.zeros(len(ids), 4), ["embed"])
    data = made().to_bytes()
    with pytest.raises(ProgramError, match="no assistants"):
        table.stage("p222222@1", data, hashlib.sha256(data).hexdigest())
    assert not table.staged
