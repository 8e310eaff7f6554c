"""Models of the Hugging Face Hub: search them, see what a repository has, and choose one to download."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lqtui.hub.values import CachedModel, Fitness, FoundRepository, HubCache, HubModel, Repository
from lqtui.system import meters
from lqtui.system.disk import date_of
from lqtui.system.meters import Snapshot
from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.widgets.hub_list import Entry, HubList, Reference, compact, key_of
from lqtui.tui.widgets.quantities import size
from lqtui.workbench import Workbench, WorkbenchError
from lqtui.workbench.downloads import (
    REFERENCE_FILE,
    REFERENCE_REPOSITORY,
    choose_model,
    memory_said,
    without_gguf,
)

_REFERENCE = Reference(REFERENCE_REPOSITORY, REFERENCE_FILE, "F16", 994_156_320)


class Stage(Enum):
    """What the list shows."""

    HERE = "on this machine"
    FOUND = "found"
    FILES = "files"


@dataclass(frozen=True)
class Wanted:
    """A model to be downloaded, and then opened."""

    repository: Repository
    model: HubModel


_KEYS = {
    Stage.HERE: "/ search · enter open · r reference model · del remove · esc close",
    Stage.FOUND: "/ search · enter files · esc back",
    Stage.FILES: "/ search · enter download and open · esc back",
}


class HubScreen(ModalScreen[Path | Wanted | None]):
    """A line to search by and a list; gives a model to open, or one to download first, or None."""

    DEFAULT_CSS = """
    HubScreen { align: center middle; }
    HubScreen > Vertical {
        width: 96%; max-width: 120; height: 94%; padding: 0 1;
        border: round $primary; background: $surface;
    }
    HubScreen Input { margin: 1 0; }
    HubScreen #heading { height: 1; color: $text-primary; text-style: bold; }
    HubScreen HubList { border: none; padding: 0; &:focus { border: none; } }
    HubScreen #said { height: 4; padding-top: 1; color: $foreground 80%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", show=False),
        Binding("backspace,q", "back", "Back", show=False),
        Binding("slash,tab", "search_line", "Search", show=False),
        Binding("down", "to_list", "To the list", show=False),
        Binding("r", "reference", "Reference model", show=False),
        Binding("delete", "remove", "Remove", show=False),
    ]

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self._workbench = workbench
        self._machine: Snapshot | None = None
        self._stage = Stage.HERE
        self._cache: HubCache | None = None
        self._query = ""
        self._found: tuple[FoundRepository, ...] = ()
        self._repository: Repository | None = None
        self._last_found: Hashable = None

    def compose(self) -> ComposeResult:
        """The line on top, the list, and what there is to say of the entry under the cursor."""
        with Vertical() as box:
            box.border_title = "Hugging Face Hub"
            yield Input(placeholder="search: words of a name, or owner/name", compact=True)
            yield Static(id="heading")
            yield HubList()
            yield Static(id="said")

    def on_mount(self) -> None:
        """Begin with what is on this machine."""
        self.query_one(HubList).focus()
        self._show_here()
        self._look_at_cache()

    # -- what is shown ------------------------------------------------------------------------------

    def _enter(self, stage: Stage, heading: str, entries: tuple[Entry, ...], at: Hashable = None) -> None:
        self._stage = stage
        self.query_one("#heading", Static).update(Content(heading))
        self.query_one(Vertical).border_subtitle = _KEYS[stage]
        self.query_one(HubList).show(entries, at)
        if entries:
            self.query_one(HubList).focus()

    def _show_here(self) -> None:
        cache = self._cache
        models = cache.models if cache else ()
        if self._reference_here() is not None:
            self._enter(Stage.HERE, "✓ on this machine", models)
        else:
            heading = "✓ on this machine · ★ the reference model" if models else "★ the reference model"
            self._enter(Stage.HERE, heading, (*models, _REFERENCE))

    def _reference_here(self) -> Path | None:
        models = self._cache.models if self._cache else ()
        reference = (REFERENCE_REPOSITORY, REFERENCE_FILE)
        return next((m.path for m in models if (m.repository, m.path.name) == reference), None)

    def _show_found(self) -> None:
        count = len(self._found)
        heading = f"{count} {'repository' if count == 1 else 'repositories'} with GGUF files"
        self._enter(
            Stage.FOUND,
            f"{heading}: {self._query}" if self._query else heading,
            self._found,
            self._last_found,
        )

    def _show_files(self, repository: Repository) -> None:
        self._repository = repository
        parameters = f"{compact(repository.parameters)} parameters" if repository.parameters else ""
        parts = [repository.id, repository.architecture, parameters, repository.license]
        order = {Fitness.BASE: 0, Fitness.UNKNOWN: 1, Fitness.QUANTIZED: 2, Fitness.COMPANION: 3}
        models = sorted(repository.models, key=lambda model: (order[model.fitness], -model.bytes))
        self._enter(Stage.FILES, " · ".join(part for part in parts if part), tuple(models))
        if not models:
            self._warn(without_gguf(repository))

    @on(HubList.Moved)
    def _explain(self) -> None:
        match self.query_one(HubList).entry:
            case CachedModel() as model:
                used = f"{date_of(model.used).astimezone():%Y-%m-%d %H:%M}"
                self._say(f"{model.repository} · last used {used}", str(model.path))
            case Reference() as reference:
                self._say(
                    f"{reference.repository}: the model of the published experiment.",
                    f"r or enter downloads it ({size(reference.bytes)}) and opens it.",
                )
            case FoundRepository() as found:
                license_said = found.license or "no license told"
                gated = " · its terms are to be accepted on its page" if found.gated else ""
                self._say(found.id, f"{license_said}{gated}")
            case HubModel() as model if self._repository is not None:
                self._say(*self._of_model(self._repository, model))

    def _of_model(self, repository: Repository, model: HubModel) -> tuple[str, ...]:
        if model.here is not None:
            return f"{model.name} is on this machine; enter opens it.", str(model.here)
        if model.missing:
            return (f"{model.name} is not whole: {model.missing} of its parts are missing there.",)
        room = "" if repository.free_bytes > model.to_come else ": not enough"
        begun = f", {size(model.partial)} are here" if model.partial else ""
        parts = f" in {len(model.files)} files" if len(model.files) > 1 else ""
        needs = f"{size(model.to_come)} to download{parts}{begun} · {size(repository.free_bytes)} free{room}"
        if model.fitness is Fitness.COMPANION:
            return needs, "This goes with a model, but is none that can be opened."
        if model.fitness is Fitness.QUANTIZED:
            return needs, "It is quantized already: a recipe to look at, no base to begin with."
        kind = "" if model.fitness is Fitness.BASE else "Whether it is quantized is not told. "
        memory = f"{memory_said(model.bytes, self._machine)}." if self._machine else ""
        return needs, f"{kind}{memory[:1].upper()}{memory[1:]}"

    def _say(self, *lines: str) -> None:
        self.query_one("#said", Static).update(Content("\n".join(lines)))

    def _warn(self, sentence: str) -> None:
        text = sentence[:1].upper() + sentence[1:]
        self.query_one("#said", Static).update(Content.styled(f"{text}.", "$text-warning"))

    # -- asking the Hub -----------------------------------------------------------------------------

    @work(exit_on_error=False, group="cache")
    async def _look_at_cache(self) -> None:
        self._machine = await asyncio.to_thread(meters.read)  # a sleeping GPU can take seconds to answer
        try:
            self._cache = await self._workbench.cached_models()
        except WorkbenchError as error:
            self._warn(str(error))
            return
        if self._stage is Stage.HERE:
            self._show_here()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        text = event.value.strip().removeprefix("https://huggingface.co/").strip("/")
        self._last_found = None
        if "/" in text and " " not in text:
            self._list("/".join(text.split("/")[:2]))
        else:
            self._search(text)

    @work(exit_on_error=False, exclusive=True, group="ask")
    async def _search(self, query: str) -> None:
        self._say("Searching the Hub …")
        try:
            found = await self._workbench.search_hub(query)
        except WorkbenchError as error:
            self._warn(str(error))
            return
        self._query, self._found = query, found.repositories
        self._show_found()
        if not self._found:
            self._warn("no repository with GGUF files has these words in its name; try fewer or others")

    @work(exit_on_error=False, exclusive=True, group="ask")
    async def _list(self, name: str) -> None:
        self._say(f"Asking the Hub for the files of {name} …")
        try:
            self._show_files(await self._workbench.list_repository(name))
        except WorkbenchError as error:
            self._warn(str(error))

    @work(exit_on_error=False, exclusive=True, group="ask")
    async def _want_reference(self) -> None:
        self._say(f"Asking the Hub for {REFERENCE_FILE} …")
        try:
            repository = await self._workbench.list_repository(REFERENCE_REPOSITORY)
            self._want(repository, choose_model(repository, REFERENCE_FILE))
        except WorkbenchError as error:
            self._warn(str(error))

    # -- the person ---------------------------------------------------------------------------------

    @on(HubList.Chosen)
    def _choose(self, event: HubList.Chosen) -> None:
        match event.entry:
            case CachedModel() as model:
                self.dismiss(model.path)
            case Reference():
                self._want_reference()
            case FoundRepository() as found:
                self._last_found = key_of(found)
                self._list(found.id)
            case HubModel() as model if self._repository is not None:
                self._want(self._repository, model)

    def _want(self, repository: Repository, model: HubModel) -> None:
        if model.here is not None:
            self.dismiss(model.here)
        elif model.missing:
            self._warn(f"{model.name} is not whole: {model.missing} of its parts are missing there")
        elif model.to_come > repository.free_bytes:
            self._warn(
                f"{size(model.to_come)} are to be downloaded, and only {size(repository.free_bytes)} are "
                f"free on the disk of {repository.cache}; make room, or set HF_HOME"
            )
        else:
            self.dismiss(Wanted(repository, model))

    def action_reference(self) -> None:
        """Download the reference model, or open it where it is here."""
        if (here := self._reference_here()) is not None:
            self.dismiss(here)
        else:
            self._want_reference()

    def action_search_line(self) -> None:
        """Go to the line on top, or from it to the list."""
        line = self.query_one(Input)
        (self.query_one(HubList) if line.has_focus else line).focus()

    def action_to_list(self) -> None:
        """Go from the line on top to the list."""
        self.query_one(HubList).focus()

    def action_back(self) -> None:
        """Show what was shown before, and close at last."""
        self.workers.cancel_group(self, "ask")
        if self.query_one(Input).has_focus:
            self.query_one(HubList).focus()
        elif self._stage is Stage.FILES and self._found:
            self._show_found()
        elif self._stage is not Stage.HERE:
            self._show_here()
        else:
            self.dismiss(None)

    def action_remove(self) -> None:
        """Remove the model under the cursor from this machine, once the person is sure."""
        model = self.query_one(HubList).entry
        if not isinstance(model, CachedModel):
            return

        def remove(sure: bool | None) -> None:
            if sure:
                self._remove(model)

        question = f"Remove {model.name} ({size(model.bytes)}) from the Hugging Face cache?"
        self.app.push_screen(ConfirmScreen(question, "Remove", "Keep"), remove)

    @work(exit_on_error=False, group="cache")
    async def _remove(self, model: CachedModel) -> None:
        try:
            await self._workbench.remove_cached(model.repository, model.name)
            self._cache = await self._workbench.cached_models()
        except WorkbenchError as error:
            self._warn(str(error))
        else:
            self._show_here()
