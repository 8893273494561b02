"""Probes of a few authors, built once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.probes.registry import (
    FAMILIES,
    HARMLESS,
    probes,
)
from benchmarks.probes.spec import Probe
from benchmarks.worlds.vocabulary import ATTRIBUTES
from benchmarks.worlds.world import World, make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def made(world: World) -> Mapping[str, tuple[Probe, ...]]:
    """Probes of every family for all attributes of a few forget authors."""
    items = world.items("forget")[: 5 * len(ATTRIBUTES)]
    return {name: probes(one, world, items) for name, one in FAMILIES.items()}


@pytest.fixture(scope="session")
def harmless(world: World) -> Mapping[str, tuple[Probe, ...]]:
    items = (*world.items("retain")[::7], *world.items("never")[::7])
    return {name: probes(one, world, items) for name, one in HARMLESS.items()}
