"""Which policies are active at a level, and about whom a measurement may then ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scale.bundles import Added


@dataclass(frozen=True, slots=True)
class Group:
    """Active policies; the first `known` of them are about authors whom the full model knows.

    `first` is the place of the first of these among the forget authors of the world.
    """

    active: tuple[Added, ...]
    first: int
    known: int

    def places(self) -> range:
        """Places of the known authors among the forget authors."""
        return range(self.first, self.first + self.known)


def groups(level: int, added: Sequence[Added], known: int) -> list[Group]:
    """Disjoint sets of `level` policies that are all about known authors; one set with all of these beyond.

    `added` holds the policies of the `known` authors first. Raises `ValueError` for more policies than there are.
    """
    if not 1 <= level <= len(added):
        raise ValueError(f"{level} policies were asked for, there are {len(added)}")
    if level > known:
        return [Group(tuple(added[:level]), 0, known)]
    return [Group(tuple(added[i : i + level]), i, level) for i in range(0, known - level + 1, level)]
