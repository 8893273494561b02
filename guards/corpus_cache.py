"""Arrays that take long to make, kept in the user's cache folder.

Every file begins with a digest of the rest, and its name holds a digest of what it was made from. A file that is cut,
or is none of ours, is made again; a folder that cannot be written, or a user without a home, costs the time at every
start and nothing else. The digest tells damage and not malice: who may write into a user's cache may as well change the
user's packages.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

Arrays = Mapping[str, np.ndarray[Any, Any]]
MOST = 3
"""Files of a kind that are kept, the newest: an upgrade leaves one behind."""
_DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """`lethe/guards` in the user's cache folder, which XDG_CACHE_HOME names.

    Raises `RuntimeError` without it where neither HOME is set nor the system knows a home of the user.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lethe" / "guards"


def kept(kind: str, made_from: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that an earlier call with the same `made_from` kept, or those that `make` gives."""
    try:
        place = folder()
    except RuntimeError:  # a user without a home: nothing is kept
        return make()
    file = place / f"{kind}-{hashlib.sha256(made_from.encode()).hexdigest()[:24]}.bin"
    found = _load(file)
    if found is None:
        found = make()
        _save(file, found)
    return found


def _load(file: Path) -> Arrays | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    content = memoryview(data)[_DIGEST:]
    if len(data) <= _DIGEST or hashlib.sha256(content).digest() != data[:_DIGEST]:
        return None
    try:
        return dict(load(bytes(content)))
    except SafetensorError:
        return None


def _save(file: Path, arrays: Arrays) -> None:
    """Write beside the file and rename: another process sees the whole file or none."""
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as opened:
            try:
                opened.write(hashlib.sha256(content).digest() + content)
                opened.close()
                Path(opened.name).replace(file)
            except OSError:
                Path(opened.name).unlink()
                raise
        same = sorted(file.parent.glob(f"{file.name.split('-', maxsplit=1)[0]}-*.bin"), key=lambda f: f.stat().st_mtime)
        for old in same[:-MOST]:
            old.unlink()
    except OSError:
        return  # a read-only or full disk: the next start makes the arrays again
