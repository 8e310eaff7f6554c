"""Choose a recipe that goes by a name: a published strategy, a profile, or a mix of llama.cpp's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.presets import MIX_NAMES, PRESET_NAMES, PROFILE_NAMES, preset
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_imatrix
from lqtui.recipe.shape import ModelShape
from lqtui.tui.widgets.choices import Choices
from lqtui.tui.widgets.quantities import bar, mebibytes

_BAR = 10
_PUBLISHED = "published strategies"
_PROFILES = "profiles by layer type"
_AS_PUBLISHED = "as published (unanchored): blk.1 also hits blk.10 to blk.19"
_NEEDS_IMATRIX = "needs an importance matrix"
_MIXES = "llama.cpp's mixes, as llama-quantize makes them"


@dataclass(frozen=True)
class _Offer:
    """A preset on a model: its plan, or why it cannot be used; `same_as` names one with the same types."""

    recipe: Recipe
    plan: Plan | None
    problem: str = ""
    same_as: str = ""


class PresetScreen(ModalScreen[Recipe | None]):
    """Lists the presets with their sizes on a model; gives the chosen recipe, or None.

    The importance matrix in use stays with the mixes; what was published was made without one.
    """

    DEFAULT_CSS = """
    PresetScreen { align: center middle; }
    PresetScreen > Vertical {
        width: 90%; max-width: 84; height: 90%; max-height: 31; padding: 0 1;
        border: round $primary; background: $surface;
    }
    PresetScreen OptionList {
        height: 1fr; border: none; padding: 0; background: transparent;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
    PresetScreen #heading { text-style: bold; }
    PresetScreen #description { height: 2; margin-top: 1; color: $text-primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,p", "dismiss(None)", "Cancel", show=False),
        Binding("tab", "next_group(1)", "Next group", show=False),
        Binding("shift+tab", "next_group(-1)", "Group before", show=False),
    ]

    def __init__(self, shape: ModelShape, imatrix: Imatrix | None = None) -> None:
        super().__init__()
        self._shape = shape
        self._imatrix = imatrix
        self._offers: dict[str, _Offer] = {}
        plain = [_offer(name, shape, None) for name in PRESET_NAMES]
        published = [_offer(name, shape, twin) for name, twin in zip(PRESET_NAMES, plain, strict=True)]
        profiles = [_offer(name, shape, None) for name in PROFILE_NAMES]
        self._groups = {_PUBLISHED: plain, _PROFILES: profiles, _AS_PUBLISHED: published}
        self._name_width = max(len(offer.recipe.name) for offers in self._groups.values() for offer in offers)

    def compose(self) -> ComposeResult:
        """The list, and what the highlighted one does."""
        with Vertical() as box:
            box.border_title = "presets"
            box.border_subtitle = "↑↓ choose · tab next group · enter use · esc cancel"
            yield Static(self._heading(), id="heading")
            yield Choices()
            yield Static(id="description")

    def on_mount(self) -> None:
        """Start on the first; the mixes, which are many, follow once the others can be seen."""
        for title, offers in self._groups.items():
            self._add_group(title, offers)
        self.query_one(OptionList).highlighted = 1
        self.call_after_refresh(self._add_mixes)

    def _add_mixes(self) -> None:
        self._add_group(_MIXES, [_offer(name, self._shape, None, self._imatrix) for name in MIX_NAMES])

    def _add_group(self, title: str, offers: list[_Offer]) -> None:
        options = self.query_one(OptionList)
        options.add_option(Option(Content.styled(title, "bold $text-primary"), disabled=True))
        self._offers |= {offer.recipe.name: offer for offer in offers}
        options.add_options(self._option(offer) for offer in offers)

    def _heading(self) -> Content:
        return Content(f"{'recipe'.ljust(self._name_width)}  {'MiB':>7}  {'bpw':>5}")

    def _option(self, offer: _Offer) -> Option:
        name = offer.recipe.name.ljust(self._name_width)
        if offer.plan is None:
            return Option(
                Content.assemble(name, ("  not for this model", "dim")), id=offer.recipe.name, disabled=True
            )
        plan = offer.plan
        beside: Content | tuple[str, str] = bar(plan.file_bytes / self._shape.file_bytes, _BAR, "")
        if offer.same_as:
            beside = ("same types", "dim")
        elif plan.missing_imatrix:
            beside = (_NEEDS_IMATRIX, "$text-warning")
        return Option(
            Content.assemble(
                (name, "dim" if offer.same_as else ""),
                f"  {mebibytes(plan.file_bytes):>7}  {plan.bits_per_weight:5.2f}  ",
                beside,
            ),
            id=offer.recipe.name,
        )

    @on(OptionList.OptionHighlighted)
    def _describe(self, event: OptionList.OptionHighlighted) -> None:
        offer = self._offers.get(event.option.id or "")
        if offer is None:
            return
        said = offer.problem or offer.recipe.description
        if offer.same_as:
            said += f" — here the same as {offer.same_as}"
        if offer.plan is not None and offer.plan.missing_imatrix:
            first = offer.plan.missing_imatrix[0]
            said += f"; {first.effective} of {first.name} {_NEEDS_IMATRIX}"
        self.query_one("#description", Static).update(Content(said[:1].upper() + said[1:] + "."))

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        offer = self._offers.get(event.option.id or "")
        if offer is not None:
            self.dismiss(offer.recipe)

    def action_next_group(self, step: int) -> None:
        """Go to the first preset of the next group, or of the one before."""
        options = self.query_one(OptionList)
        firsts = [
            index + 1
            for index in range(options.option_count)
            if options.get_option_at_index(index).id is None and index + 1 < options.option_count
        ]
        here = options.highlighted or 0
        group = sum(first <= here for first in firsts) - 1
        if firsts:
            options.highlighted = firsts[(group + step) % len(firsts)]


def _offer(name: str, shape: ModelShape, plain: _Offer | None, imatrix: Imatrix | None = None) -> _Offer:
    recipe = with_imatrix(preset(name, shape, as_published=plain is not None), imatrix)
    if plain is not None and (plain.recipe.base, plain.recipe.overrides) == (recipe.base, recipe.overrides):
        return _Offer(recipe, plain.plan, plain.problem, same_as=plain.recipe.name)
    try:
        return _Offer(recipe, resolve(shape, recipe))
    except RecipeError as error:
        return _Offer(recipe, None, problem=str(error))
