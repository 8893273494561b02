"""The benign texts: enough, varied, deterministic, halves disjoint."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from guards.benign import benign, everyday
from guards.corpus_documents import LIBRARIES
from guards.everyday import NAMED, PLAIN, SLOTS, STORIES


def test_size_and_variety() -> None:
    fit, calibration = benign("fit"), benign("calibration")
    assert len(fit) + len(calibration) >= 3000
    assert len(calibration) >= 2000  # alpha 0.001 must be reachable with room
    words = [len(item.text.split()) for item in calibration]
    assert sum(n < 15 for n in words) > 500
    assert sum(n > 100 for n in words) > 200
    assert sum(item.named for item in calibration) < 0.5 * len(calibration)


def test_deterministic_and_disjoint() -> None:
    fit, calibration = benign("fit"), benign("calibration")
    assert fit == benign("fit")
    assert len({i.text for i in calibration}) == len(calibration)
    assert not {i.text for i in fit} & {i.text for i in calibration}


def test_templates_are_filled() -> None:
    assert all("{" not in item.text for item in everyday(500))
    used = {slot for template in (*PLAIN, *NAMED, *STORIES) for slot in SLOTS if "{" + slot + "}" in template}
    assert used == set(SLOTS)


def test_every_installation_has_the_documents() -> None:
    listed = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {Requirement(line).name for line in listed["project"]["dependencies"]}
    assert set(LIBRARIES) == needed | {"starlette"}  # what fastapi is made of
