"""The line at the top: which model, which recipe, which corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from lqtui.tui.keys.shown import with_keys
from lqtui.tui.widgets.quantities import shortened, size
from lqtui.tui.widgets.slot_tabs import slot_tabs

if TYPE_CHECKING:
    from lqtui.recipe.recipe import Plan
    from lqtui.workbench import OpenModel, Settings, Slot

_GAP = 2
_SEPARATOR = " · "
_BY_IMATRIX = " by imatrix"
_LEAST_FILE = 8
"""A file's name cut shorter than this tells nothing."""


class HeaderLine(Widget):
    """One line with the model on the left and the recipe and the corpus on the right.

    Where the line is too narrow the least needed facts go first; the recipe's name stays. A click on a part
    does what that part is changed by.
    """

    DEFAULT_CSS = """
    HeaderLine {
        height: 1;
        width: 1fr;
        padding: 0 1;
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.set_reactive(HeaderLine.auto_links, False)  # which would underline what can be clicked
        self._model: OpenModel | None = None
        self._plan: Plan | None = None
        self._modified = False
        self._corpus = ("", "")
        self._slots: tuple[Slot, ...] = ()
        self._active = 0

    def show(
        self,
        model: OpenModel | None,
        plan: Plan | None,
        modified: bool,
        settings: Settings,
        corpus_name: str,
    ) -> None:
        """Show a model (None: none is open), its recipe, and what its results are measured on."""
        corpus = (corpus_name, f"{settings.chunks}×{settings.n_ctx}")
        before = self._shown
        self._model, self._plan, self._modified, self._corpus = model, plan, modified, corpus
        if self._shown != before:
            self.refresh()

    def show_slots(self, slots: tuple[Slot, ...], active: int) -> None:
        """Show the recipes that are held beside each other; one alone is shown as the recipe."""
        before = self._shown
        self._slots, self._active = slots, active
        if self._shown != before:
            self.refresh()

    @property
    def _shown(self) -> tuple[object, ...]:
        """What the line says; most edits change nothing of it."""
        recipe = self._plan.recipe if self._plan else None
        named = (recipe.name, recipe.imatrix is not None, _origin(self._plan)) if recipe else None
        slots = [(slot.letter, slot.name, slot.modified) for slot in self._slots]
        return self._model, named, self._modified, self._corpus, slots, self._active

    def render(self) -> Content:
        """The line, at the width there is."""
        width = self.content_size.width
        brand = Content.styled("lqtui", "bold $primary")
        if self._model is None:
            said = with_keys(self, "no model open: press {model.open} to open a GGUF file")
            return Content.assemble(brand, "  ", (said, "dim"))
        facts, (corpus, chunks) = self._facts(), self._corpus
        recipe = self._recipe(width // 2)
        in_full, brief = f"corpus {corpus}{_SEPARATOR}{chunks}", f"{corpus}{_SEPARATOR}{chunks}"
        wordings = ((4, in_full), (3, in_full), (2, in_full), (2, brief), (1, brief), (1, corpus), (1, ""))
        for kept, last in wordings:
            left = Content.assemble(brand, "  ", _doing("model.open", *_joined(facts[:kept])))
            on = _doing("run.corpus", (last, "dim"))
            right = Content.assemble(recipe, "   ", on) if last else recipe
            space = width - left.cell_length - right.cell_length
            if space >= _GAP:
                return Content.assemble(left, " " * space, right)
        space = width - recipe.cell_length - 7
        name = shortened(facts[0], max(0, space - _GAP))
        return Content.assemble(brand, "  ", name, " " * max(0, space - len(name)), recipe)

    def _facts(self) -> list[str]:
        assert self._model is not None
        shape = self._model.shape
        return [
            shape.name,
            f"{shape.main_type} {size(shape.file_bytes)}",
            f"{shape.block_count} blocks",
            shape.architecture,
        ]

    def _recipe(self, width: int) -> Content:
        if self._plan is None:
            return Content("")
        by = self._by(width)
        if len(self._slots) > 1:
            tabs = slot_tabs(self._slots, self._active, width + width // 4 - len(by))
            return Content.assemble(tabs, (by, "$text-success"))
        name = shortened(self._plan.recipe.name, width - 2 - len(by))
        mark = (" *", "bold $warning") if self._modified else ("", "")
        return _doing("recipe.save", (name, "bold"), mark, (by, "$text-success"))

    def _by(self, width: int) -> str:
        """Where the weights come from, if not from the base model alone, in about a half of the width."""
        assert self._plan is not None
        how, file = _origin(self._plan)
        by = _BY_IMATRIX if self._plan.recipe.imatrix is not None else ""
        if not how:
            return by
        room = width // 2 - len(how) - len(" from ")
        return f" {how} from {shortened(file, room)}{by}" if room >= _LEAST_FILE else f" {how}{by}"


def _origin(plan: Plan | None) -> tuple[str, str]:
    """Whether weights are copied from a quantized file, and from which; empty where none are."""
    if plan is None or plan.file is None:
        return "", ""
    changed = sum(planned.effective is not planned.tensor.type for planned in plan.tensors)
    return ("copied" if len(plan.copied) == changed else "partly copied"), plan.file.name


def _doing(command: str, *parts: Content | tuple[str, str]) -> Content:
    """What is said, and what a click on it does."""
    return Content.assemble(*parts).stylize(Style.from_meta({"@click": f"screen.run_command('{command}')"}))


def _joined(facts: list[str]) -> list[Content | tuple[str, str]]:
    rest = "".join(_SEPARATOR + fact for fact in facts[1:])
    return [Content.styled(facts[0], "bold"), (rest, "dim")]
