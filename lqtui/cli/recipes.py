"""The recipes that a command was given: names of presets, and recipe files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.presets import MIX_NAMES, PRESET_NAMES, PROFILE_NAMES, preset, preset_name
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_imatrix
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.spelling import nearest
from lqtui.workbench import Workbench, WorkbenchError
from lqtui.workbench.values import Imported


@dataclass(frozen=True)
class WantedRecipe:
    """A recipe as it was asked for on the command line: a preset's name, a recipe file or a GGUF itself.

    It is quantized by the importance matrix in a file, if one is given, else by the recipe's own. A GGUF
    itself is copied.
    """

    preset: str | None = None
    file: Path | None = None
    as_published: bool = False
    imatrix: Path | None = None
    gguf: Path | None = None

    async def plan(self, bench: Workbench) -> Plan:
        """The recipe on the open model; WorkbenchError where it does not fit."""
        assert bench.model is not None
        shape = bench.model.shape
        try:
            recipe = await self._recipe(bench, shape)
            if self.imatrix is not None and self.gguf is None:
                recipe = with_imatrix(recipe, await bench.read_imatrix(self.imatrix))
            return resolve(shape, recipe)
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None

    async def _recipe(self, bench: Workbench, shape: ModelShape) -> Recipe:
        if self.gguf is not None:
            imported = await _copied(bench, self.gguf)
        elif self.file is not None:
            imported = await bench.import_recipe(self.file)
        else:
            return preset(self.preset or "", shape, as_published=self.as_published)
        for notice in imported.notices:
            output.note(notice)
        return imported.recipe


async def _copied(bench: Workbench, path: Path) -> Imported:
    """The recipe that is a GGUF itself, once it is looked through."""
    job, found = bench.look_through(path)
    exit_unless_done(await followed(bench, job))
    return found[0]


def one_recipe(
    preset_name: str | None, file: Path | None, as_published: bool, imatrix: Path | None = None
) -> WantedRecipe:
    """The one recipe that a command was given."""
    if (preset_name is None) == (file is None):
        output.fail("give one recipe: --preset NAME or --recipe FILE")
    presets, files = [preset_name] if preset_name else [], [file] if file else []
    return many_recipes(presets, False, files, as_published, imatrix=imatrix)[0]


def many_recipes(
    presets: list[str],
    all_presets: bool,
    files: list[Path],
    as_published: bool,
    compared: tuple[str, str] | None = None,
    imatrix: Path | None = None,
    ggufs: Sequence[Path] = (),
) -> list[WantedRecipe]:
    """All recipes that a command was given, each once, in the order compared, presets, files, GGUFs.

    Of those that are compared a name that ends in .gguf is the file itself.
    """
    names = [*presets, *(PRESET_NAMES if all_presets else ())]
    wanted = [
        *(compared_recipe(name, as_published) for name in compared or ()),
        *(_preset(name, as_published) for name in names),
        *(WantedRecipe(file=file) for file in files),
        *(WantedRecipe(gguf=path) for path in ggufs),
    ]
    if as_published and not any(recipe.as_published for recipe in wanted):
        output.fail("--as-published goes with the published strategies: --preset NAME or --all-presets")
    if compared and compared[0] == compared[1]:
        output.fail(f"--compare takes two different recipes, and {compared[0]} is one")
    if not wanted:
        output.fail("give recipes: --preset NAME, --all-presets, --recipe FILE or --gguf FILE")
    return [replace(recipe, imatrix=imatrix) for recipe in dict.fromkeys(wanted)]


def _preset(name: str, as_published: bool) -> WantedRecipe:
    known = preset_name(name)
    if known is None:
        output.fail(f"unknown preset {name!r}; {_hint(name)}")
    return WantedRecipe(preset=known, as_published=as_published and known in PRESET_NAMES)


def compared_recipe(name: str, as_published: bool) -> WantedRecipe:
    """A preset by its name, a GGUF itself, or else a recipe file."""
    if name.lower().endswith(".gguf") and preset_name(name) is None:
        return WantedRecipe(gguf=Path(name))
    return named_recipe(name, as_published)


def named_recipe(name: str, as_published: bool = False) -> WantedRecipe:
    """A preset by its name, or else a recipe file."""
    if preset_name(name) is not None:
        return _preset(name, as_published)
    if not Path(name).suffix:
        output.fail(f"{name!r} is neither a preset nor a recipe file; {_hint(name)}")
    return WantedRecipe(file=Path(name))


def _hint(name: str) -> str:
    names = {known.lower(): known for known in (*PRESET_NAMES, *PROFILE_NAMES, *MIX_NAMES)}
    near = nearest(name.lower(), names, 0.5)
    if near is not None:
        return f"did you mean {names[near]}?"
    presets = ", ".join((*PRESET_NAMES, *PROFILE_NAMES))
    return f"the presets are: {presets}, and llama.cpp's mixes: {', '.join(MIX_NAMES)}"
