"""Where a person left: one file for each model, and one for the app, for the next start to go on from.

Each lqtui that runs holds the lock of its model's session. A second one on the same model finds it taken, and
keeps a session of its own.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from lqtui.recipe.recipe import Recipe
from lqtui.store.errors import InUseError, StoreError
from lqtui.store.locks import file_lock
from lqtui.store.paths import Paths
from lqtui.store.state_file import read_state, state_name, write_state
from lqtui.workbench.values import Settings

_VERSION = 1
"""Raised with every change after which an earlier lqtui would misread a session."""
_MOST = 9
"""So many on one model keep sessions; more are not worth remembering."""


class View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the screen shows of a model: the cursor's row and column and what it stands on, and the pane."""

    row: int = 0
    column: int = 0
    scope: str = "block"
    pane: str = "layers"


class Look(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the screen looks whatever the model: the theme, the chart's metric, the columns and their width."""

    theme: str = ""
    metric: str = ""
    columns: tuple[str, ...] | None = None
    layers_width: int | None = None


class KeptSlot(msgspec.Struct, frozen=True):
    """A recipe as it was left, and the one that its name stands for where that is another."""

    recipe: Recipe
    named: Recipe | None = None


class ModelSession(msgspec.Struct, frozen=True):
    """What is remembered of one model: its recipes, which of them is active, and what the screen shows."""

    model: Path
    slots: tuple[KeptSlot, ...] = ()
    active: int = 0
    view: View = View()


class AppSession(msgspec.Struct, frozen=True):
    """What is remembered whatever the model: the last one, how it is measured, and how the screen looks."""

    model: Path | None = None
    requantize: bool = False
    """Whether the last model is quantized already, and the person went on from it all the same."""
    settings: Settings = Settings()
    look: Look = Look()


class Left(NamedTuple):
    """What both files say."""

    model: ModelSession
    app: AppSession


class Sessions:
    """The sessions of one running app, which holds the lock of its model's till it closes or opens another.

    With `fresh` nothing is gone on from, but it is remembered all the same. `notices` are sentences that the
    person has not been told yet.
    """

    def __init__(self, paths: Paths, *, fresh: bool = False) -> None:
        self._folder = paths.state / "sessions"
        self._fresh = fresh
        self._lock = contextlib.ExitStack()
        self._file: Path | None = None
        self._model: Path | None = None
        self._saved: Left | None = None
        self._writing = threading.Lock()
        self.notices: list[str] = []

    def last(self) -> AppSession:
        """How the app was left."""
        if self._fresh:
            return AppSession()
        found = read_state(self._app_file, _VERSION, AppSession)
        self._note(found.problem)
        return found.state or AppSession()

    def take(self, model: Path) -> ModelSession | None:
        """Hold a model's session from now on, and return it; None where there is nothing to go on from.

        Where another lqtui holds it, this one gets a session of its own.
        """
        self.close()
        self._lock, self._model = contextlib.ExitStack(), model
        name = state_name(model)
        for number in range(1, _MOST + 1):
            numbered = name if number == 1 else f"{name}-{number}"
            try:
                self._lock.enter_context(
                    file_lock(self._folder / f"{numbered}.lock", "this session", timeout=0)
                )
            except InUseError:
                continue
            except StoreError as error:
                self._note(f"{error} Nothing is remembered of this session.")
                return None
            if number > 1:
                self._note(f"{model.name} is open in another lqtui; this one remembers a session of its own.")
            self._file = self._folder / f"{numbered}.json"
            return self._begun_with(self._file)
        self._note(f"{model.name} is open in {_MOST} other lqtui; nothing is remembered of this session.")
        return None

    def save(self, left: Left, *, is_last: bool = False) -> None:
        """Remember both, as far as they changed; StoreError where that fails.

        With `is_last` the next start goes on from here, whatever other lqtui remembered meanwhile. Any thread
        may ask for it; what is of a model whose session is held no more is not written.
        """
        with self._writing:
            if self._model not in (None, left.model.model):
                return
            before, self._saved = self._saved, None
            if self._file is not None and (before is None or before.model != left.model):
                write_state(self._file, _VERSION, left.model)
            if is_last or before is None or before.app != left.app:
                write_state(self._app_file, _VERSION, left.app)
            self._saved = left

    def close(self) -> None:
        """Let others have the session."""
        with self._writing:
            self._file = self._model = self._saved = None
            self._lock.close()

    @property
    def _app_file(self) -> Path:
        return self._folder / "app.json"

    def _begun_with(self, file: Path) -> ModelSession | None:
        fresh, self._fresh = self._fresh, False  # a model that is opened later is gone on from
        if fresh:
            return None
        found = read_state(file, _VERSION, ModelSession)
        self._note(found.problem)
        return found.state

    def _note(self, sentence: str) -> None:
        if sentence:
            self.notices.append(f"{sentence.rstrip('.')}.")
