"""Append-only log of decisions without content, chained by hashes.

Each line is a JSON object whose `previous` is the `hash` of the line before it, and whose `hash` is the SHA-256 of the
line without `hash`. An edited, removed or inserted line breaks the chain; lines cut off at the end do not, so copy the
last hash elsewhere from time to time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import orjson

START = "0" * 64
TAIL_BYTES = 64 * 1024


class AuditError(ValueError):
    """An audit log that is broken or cannot be written; the text says where."""


class AuditLog:
    """Writer of one file; holds a lock on it, because two writers would break the chain.

    Attributes:
        failed: why the last record could not be written, or None. Nothing is served while it is set.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        self.failed: str | None = None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._previous, self._size = _last_hash(self._file, path)
        except BlockingIOError:
            self._file.close()
            raise AuditError(f"{path} is written by another gateway; give every gateway its own file") from None
        except AuditError:
            self._file.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Write one record. Raises `AuditError` and takes the partial line back if the file cannot be written."""
        line = orjson.dumps({**record, "previous": self._previous})
        digest = hashlib.sha256(line).hexdigest()
        whole = line[:-1] + b',"hash":"' + digest.encode() + b'"}\n'
        try:
            written = self._file.write(whole)
        except OSError as error:
            self.failed = str(error)
            raise AuditError(f"the audit record could not be written: {error}") from error
        if written != len(whole):
            self._file.truncate(self._size)
            self.failed = "the disk is full"
            raise AuditError(f"the audit record could not be written: {self.failed}")
        self._previous, self._size, self.failed = digest, self._size + len(whole), None

    def recovered(self) -> bool:
        """Whether the file takes records again after a failure; tried with a record that says so."""
        try:
            self.append({"decision": "audit log recovered"})
        except AuditError:
            return False
        return True

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _last_hash(file: BinaryIO, path: Path) -> tuple[str, int]:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return START, 0
    file.seek(max(0, size - TAIL_BYTES))
    tail = file.read()
    last = tail.rstrip(b"\n").rpartition(b"\n")[2]
    digest = _checked(last)
    if digest is None or not tail.endswith(b"\n"):
        raise AuditError(
            f"the last line of {path} is damaged; look at it with `lethe audit verify`, then move the file"
        )
    return digest, size


def _checked(line: bytes) -> str | None:
    """The hash of a line if it is right, else None."""
    body, found, rest = line.rpartition(b',"hash":"')
    digest = hashlib.sha256(body + b"}").hexdigest()
    return digest if found and rest == digest.encode() + b'"}' else None


def verify(path: Path) -> int:
    """Number of records of an intact log. Raises `AuditError` naming the first bad line, or `OSError`."""
    previous, number = START, 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.rstrip(b"\n")
            digest = _checked(line)
            if digest is None or not raw.endswith(b"\n"):
                raise AuditError(f"{path}, line {number}: the record was changed after it was written")
            if orjson.loads(line).get("previous") != previous:
                raise AuditError(f"{path}, line {number}: a record before this line was removed, inserted or moved")
            previous = digest
    return number


def p_bucket(p_value: float | None) -> str | None:
    """Order of magnitude of a p-value: fine values would tell how close a text is to a policy."""
    if p_value is None:
        return None
    return next((f"<={bound}" for bound in ("0.001", "0.01", "0.1") if p_value <= float(bound)), "<=1")
