"""Going on from where the person left: the part of the workbench that keeps a session."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.workbench.running import Running
from lqtui.workbench.session import AppSession, KeptSlot, Left, Look, ModelSession, Sessions, View
from lqtui.workbench.slots import Slot, Slots
from lqtui.workbench.values import Settings, WorkbenchError


class Remembering(Running, Slots):
    """The part of the workbench that restores a model's recipes, and remembers them.

    Nothing is remembered before `sessions` are given.
    """

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        super().__init__(paths, settings)
        self.sessions: Sessions | None = None
        self._view, self._look = View(), Look()
        self._left_view: View | None = None
        self._remembered: Left | None = None
        self._saving: asyncio.Task[None] | None = None
        self._is_told = False

    def take_left_view(self) -> View | None:
        """What the screen showed of the open model when it was left, once; then None."""
        view, self._left_view = self._left_view, None
        return view

    def take_notices(self) -> list[str]:
        """What is to be told of what was remembered, each sentence once."""
        notices, self._notices = self._notices, []
        if self.sessions is not None:
            notices += self.sessions.notices
            self.sessions.notices = []
        return notices

    def remember(self, view: View, look: Look) -> None:
        """Remember in the background where the person is, if that is another place than before."""
        self._view, self._look = view, look
        is_saving = self._saving is not None and not self._saving.done()
        left = None if is_saving else self._left()
        if left is not None and left != self._remembered:
            self._saving = asyncio.create_task(self._save_soon(left))

    async def close(self) -> None:
        """Remember where the person is, stop all jobs and close the store."""
        if self._saving is not None:
            await asyncio.wait([self._saving])
        if (left := self._left()) is not None:
            self._save(left, is_last=True)
        if self.sessions is not None:
            self.sessions.close()
        await super().close()

    def _leaving_model(self) -> None:
        if (left := self._left()) is not None and left != self._remembered:
            self._save(left)
        self._view = View()

    def _found_model(self) -> None:
        if self.sessions is None or self.model is None:
            return
        found = self.sessions.take(self.model.path)
        if found is None or not found.slots:
            return
        recipes = [slot.recipe for slot in found.slots]
        named = [slot.named or slot.recipe for slot in found.slots]
        try:
            self._hold(recipes, found.active, named)
        except WorkbenchError as refusal:
            self.sessions.notices.append(
                f"The recipes that were left of {self.model.path.name} fit no more: {refusal}."
            )
            return
        self._left_view = self._view = found.view

    def _left(self) -> Left | None:
        """Where the person is now; None without a model, which is not worth remembering."""
        model = self.model
        if model is None:
            return None
        kept = ModelSession(model.path, tuple(map(_kept, self.slots)), self.active_slot, self._view)
        requantized = bool(model.shape.quantized_types)
        return Left(kept, AppSession(model.path, requantized, self.settings, self._look))

    async def _save_soon(self, left: Left) -> None:
        await asyncio.to_thread(self._save, left)

    def _save(self, left: Left, *, is_last: bool = False) -> None:
        if self.sessions is None:
            return
        try:
            self.sessions.save(left, is_last=is_last)
            self._remembered = left
        except (StoreError, OSError) as error:  # a full disk must not end the app, nor be told each second
            if not self._is_told:
                self._is_told = True
                self.sessions.notices.append(f"Where you are cannot be remembered: {str(error).rstrip('.')}.")


def _kept(slot: Slot) -> KeptSlot:
    return KeptSlot(slot.plan.recipe, slot.named if slot.named != slot.plan.recipe else None)


def settings_left(left: Settings, given: Settings, names: Collection[str]) -> tuple[Settings, str]:
    """The settings that were left, those by `names` as they are given now.

    Where a text of theirs is gone, a sentence says so, and the default takes its place.
    """
    kept = replace(left, **{name: getattr(given, name) for name in names})
    gone = [path for path in (kept.corpus, kept.calibration) if path is not None and not _is_file(path)]
    if not gone or "corpus" in names:
        return kept, ""
    return replace(
        kept, corpus=None, calibration=None
    ), f"The text {gone[0]} is gone; another is measured on."


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
