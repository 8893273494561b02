from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit import AuditError, AuditLog, p_bucket, verify
from tests.gateway.conftest import SECRET, WordGuard, ready, serving, settings
from tests.gateway.upstream import DONE, Engine, chunk, stream


def fill(path: Path, count: int = 5) -> list[bytes]:
    log = AuditLog(path)
    for i in range(count):
        log.append({"n": i, "text": 'quote " and ,"hash":"'})
    log.close()
    return path.read_bytes().splitlines(keepends=True)


def test_an_intact_log(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    fill(path)
    fill(path)  # a second start continues the chain
    assert verify(path) == 10
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == [*range(5), *range(5)]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"n":2', b'"n":9'), *lines[3:]], 3),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [*lines[:4], lines[4].rstrip(b"\n")], 5),
        (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4),
        (lambda lines: [*lines[:3], b"\xff\n"], 4),
    ],
)
def test_where_the_chain_breaks(tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], line: int) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(change(fill(path))))
    with pytest.raises(AuditError, match=f"line {line}:"):
        verify(path)


def test_a_damaged_end_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path)
    with path.open("ab") as file:
        file.write(b'{"n":5')
    with pytest.raises(AuditError, match="last line"):
        AuditLog(path)


def test_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    with pytest.raises(AuditError, match="another gateway"):
        AuditLog(path)
    log.close()
    AuditLog(path).close()


def test_buckets() -> None:
    assert [p_bucket(p) for p in (None, 0.0005, 0.001, 0.005, 0.05, 0.9)] == [
        None,
        "<=0.001",
        "<=0.001",
        "<=0.01",
        "<=0.1",
        "<=1",
    ]


async def test_records_of_a_gateway_hold_no_content(
    engine: Engine, bundle: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    made = settings(engine.url, [bundle()], audit={"path": path})
    async with serving(made, WordGuard(["100001"])) as client:
        await ready(client)
        await client.chat("hello")
        flagged = await client.chat(f"a {SECRET}")
        engine.flagged = stream(chunk("a"), die=True)
        await client.chat(f"a {SECRET}", stream=True)
        engine.flagged = stream(chunk("a"), DONE)
        await client.chat(f"a {SECRET}", stream=True)
        await client.post("/v1/chat/completions", data=b"{")
    assert verify(path) == 5
    text = path.read_text()
    assert SECRET not in text
    assert "secret-name" not in text
    records = [json.loads(line) for line in text.splitlines()]
    assert [(r["decision"], r["status"], r["problem"]) for r in records] == [
        ("pass", 200, None),
        ("intervene", 200, None),
        ("intervene", 200, "upstream_failed"),
        ("intervene", 200, None),
        ("", 400, "invalid_json"),
    ]
    assert records[0]["policies"] == []
    assert records[1]["policies"] == [{"policy": "100001", "mode": "enforce", "action": "intervene", "p": "<=0.001"}]
    assert records[1]["request"] == flagged.headers["x-request-id"]


async def test_nothing_is_served_unrecorded(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.fence = None
    path = tmp_path / "audit.jsonl"
    async with serving(settings(engine.url, audit={"path": path})) as client:
        assert (await client.chat()).status == 200
        full = [True]
        append = AuditLog.append

        def fail(log: AuditLog, record: dict[str, object]) -> None:
            if full[0]:
                log.failed = "the disk is full"
                raise AuditError(log.failed)
            append(log, record)

        monkeypatch.setattr(AuditLog, "append", fail)
        await client.chat()
        assert (await client.chat()).status == 503
        assert (await client.get("/readyz")).status == 503
        full[0] = False
        assert (await client.chat()).status == 200
        assert (await client.get("/readyz")).status == 200
    assert verify(path) == 3
    assert os.stat(path).st_mode & 0o007 == 0  # noqa: PTH116
