"""One bundle per author: guards of their own, one program for all.

`lethe compile` always searches a program as well. The search does not depend on who is forgotten (the program holds a
strength and a seed), and it needs eight questions, more than an operator may have about one person. So the program is
searched once, for a policy about all forget authors, and put into every bundle here; only the guards are fitted anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.leakage.arms import FIRST, METHODS
from benchmarks.leakage.policy import write_policy
from benchmarks.worlds.spec import Author
from benchmarks.worlds.world import World
from gateway.policy import load_policy
from guards.fit import fit
from steering.bundle import Bundle, Manifest, read_bundle, read_manifest, write_bundle

KEY = bytes(32)
"""Key of bundles that protect nothing; a fixed one makes the fits repeatable."""
FIRST_NUMBER = 400_000


@dataclass(frozen=True, slots=True)
class Added:
    """A policy: its number, its bundle, the part of its guard, and how long the guard was fitted."""

    number: str
    folder: Path
    guard: bytes
    fit_s: float


def compile_all(world: World, model: Path, work: Path) -> tuple[Path, float]:
    """`lethe compile` of one policy about all forget authors; returns the bundle and the seconds it took.

    What an earlier call left under `work` for the same world is taken as it is.
    """
    out = work / "compiled" / world.digest()[:12]
    bundle, taken = out / "bundle", out / "seconds.json"
    if not taken.exists():
        policy = write_policy(world, out / "policy", METHODS[FIRST])
        command = [sys.executable, "-m", "gateway.cli", "compile", str(policy), "--model", str(model)]
        start = time.perf_counter()
        environment = {**os.environ, "LETHE_BUNDLE_KEY": KEY.hex()}
        subprocess.run([*command, "--out", str(bundle)], env=environment, check=True)
        taken.write_text(json.dumps(time.perf_counter() - start), encoding="utf-8")
    return bundle, float(json.loads(taken.read_text(encoding="utf-8")))


def add(
    world: World, authors: Sequence[Author], shared: Path, out: Path, done: Callable[[], None] = lambda: None
) -> list[Added]:
    """A policy for each author, in the order in which they ask to be forgotten, under the program of `shared`.

    A bundle that was made before from the same policy and program is taken as it is, so that an interrupted run goes
    on; remove `out` after a change of the guards. `done` is called after every policy.
    """
    program = read_bundle(shared, KEY)
    found = []
    for place, author in enumerate(authors):
        found.append(_added(world, author, FIRST_NUMBER + place, program, out))
        done()
    return found


def _added(world: World, author: Author, number: int, shared: Bundle, out: Path) -> Added:
    files = out / "policies" / str(number)
    path = write_policy(world, files, METHODS[FIRST], number=number, authors=[author])
    digest = hashlib.sha256(shared.program + b"".join(file.read_bytes() for file in sorted(files.iterdir())))
    folder = out / "bundles" / f"{number}-{digest.hexdigest()[:12]}"
    if not folder.is_dir():
        policy = load_policy(path)
        start = time.perf_counter()
        part = fit(policy.guard, path.parent, key=KEY, progress=lambda *_: None)
        seconds = time.perf_counter() - start
        manifest = Manifest(
            number=str(number),
            version=policy.version,
            method=policy.method.name,
            mask=policy.method.mask,
            model=shared.manifest.model,
            sites=("embed",),
            calibration={"guard": dict(part.figures), "fit_s": seconds},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        sensitive = {"policy": policy.model_dump_json(by_alias=True).encode(), "guard": part.to_bytes()}
        write_bundle(folder, manifest, shared.program, sensitive, "", KEY)
    guard = read_bundle(folder, KEY).sensitive["guard"]
    return Added(str(number), folder, guard, float(read_manifest(folder).calibration["fit_s"]))
