"""What the app remembers of its tour: which of the hints a person has followed, and whether it is over."""

from __future__ import annotations

import contextlib

import msgspec

from lqtui.store.errors import StoreError
from lqtui.store.state_file import read_state, write_state
from lqtui.workbench.running import Running

_VERSION = 1


class TourProgress(msgspec.Struct, frozen=True):
    """The hints that were followed, by their names, and whether no more are wanted."""

    followed: tuple[str, ...] = ()
    over: bool = False


class Touring(Running):
    """The part of the workbench that keeps how far the tour has come, for all models and sessions."""

    _tour: TourProgress | None = None

    @property
    def tour(self) -> TourProgress:
        """How far the tour has come."""
        if self._tour is None:
            path = self.paths.state / "tour.json"
            self._tour = read_state(path, _VERSION, TourProgress).state or TourProgress()
        return self._tour

    def keep_tour(self, progress: TourProgress) -> None:
        """Remember how far the tour has come; where that cannot be written, as long as the app runs."""
        self._tour = progress
        with contextlib.suppress(StoreError, OSError):
            write_state(self.paths.state / "tour.json", _VERSION, progress, durable=False)
