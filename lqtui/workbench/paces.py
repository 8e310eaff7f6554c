"""How fast each kind of work went in earlier jobs on this machine, remembered between runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lqtui.store.errors import StoreError
from lqtui.store.state_file import read_state, write_state

_VERSION = 1
_NEWEST = 0.5
"""What the last job weighs beside all those before it."""


class _Kept(msgspec.Struct, frozen=True):
    """Seconds a unit by kind, for each way of computing."""

    paces: dict[str, dict[str, float]] = {}


class Paces:
    """Seconds a unit by kind of work, as an Outlook counts them, for each number of threads and layers."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, dict[str, float]] | None = None

    def of(self, threads: int, gpu_layers: int) -> Mapping[str, float]:
        """The paces with so many threads, and so many layers on the GPU."""
        return self._known().get(_way(threads, gpu_layers), {})

    def learn(self, threads: int, gpu_layers: int, learned: Mapping[str, float]) -> None:
        """Take what one job took beside those before it, and keep that as well as can be."""
        if not learned:
            return
        known = self._known()
        way = known.setdefault(_way(threads, gpu_layers), {})
        for kind, pace in learned.items():
            way[kind] = pace if kind not in way else (1 - _NEWEST) * way[kind] + _NEWEST * pace
        with contextlib.suppress(StoreError, OSError):  # it is a convenience
            write_state(self._file, _VERSION, _Kept(known), durable=False)

    def _known(self) -> dict[str, dict[str, float]]:
        if self._kept is None:
            read = read_state(self._file, _VERSION, _Kept)  # what is damaged is learned again
            self._kept = dict(read.state.paces) if read.state else {}
        return self._kept


def _way(threads: int, gpu_layers: int) -> str:
    return f"{threads} threads, {gpu_layers} layers"
