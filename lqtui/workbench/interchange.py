"""Recipes in and out, as GGUF, TOML, JSON, tensor types or script; and files beside each other."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from lqtui.export.script_reader import is_script, read_script, script_imatrix
from lqtui.export.tensor_type_file import tensor_type_file
from lqtui.recipe.differences import Side, differences, side_of_file, side_of_plan
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, file_type_for
from lqtui.recipe.imatrix import FindImatrix
from lqtui.recipe.lifting import lift
from lqtui.recipe.quantized_file import FindFile
from lqtui.recipe.recipe import Plan, Recipe, resolve, with_imatrix
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.recipe.recipe_json import format_recipe_json, parse_recipe_json
from lqtui.recipe.rules import quantizable_names
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.tensor_types import Entry, match, parse_entries
from lqtui.store.paths import expanded
from lqtui.store.reading import read_at_most
from lqtui.workbench.copying import Copying
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import RecipeMatrices, seen_from
from lqtui.workbench.model_file import read_header
from lqtui.workbench.quantized_files import RecipeFiles
from lqtui.workbench.text_files import read_text
from lqtui.workbench.values import Imported, Job, WorkbenchError
from lqtui.workbench.writing import Writing
from lqtui.worker.client import run_task
from lqtui.worker.messages import DigestTensors

_GGUF = b"GGUF"


class RecipeFormat(StrEnum):
    """A form in which a recipe is written."""

    TOML = "toml"
    JSON = "json"
    TENSOR_TYPES = "tensor-types"
    SCRIPT = "script"


_SUFFIXES = {
    ".toml": RecipeFormat.TOML,
    ".json": RecipeFormat.JSON,
    ".txt": RecipeFormat.TENSOR_TYPES,
    ".sh": RecipeFormat.SCRIPT,
}


class Interchange(Copying, Writing):
    """The part of the workbench that reads and writes recipes in other programs' formats."""

    async def import_recipe(self, path: Path) -> Imported:
        """The recipe in a file of any format, which its content tells; of a GGUF, the types that it has.

        Raises WorkbenchError where it is none, or does not fit the open model.
        """
        shape = self._open_model().shape
        path = expanded(path)
        try:
            if is_gguf(path):
                other, _ = await read_header(path, self.paths)
                return Imported(*lift(shape, other, path.stem))
            text, folder = read_text(path), path.parent
            find, find_file = RecipeMatrices(self.paths, folder), RecipeFiles(self.paths, folder)
            try:
                return _read_recipe(text, shape, path, find, find_file)
            except RecipeError:
                if find_file.unread is None:
                    raise
            await self._read_for(find_file)
            return _read_recipe(text, shape, path, find, find_file)
        except RecipeError as error:
            said = str(error)
            raise WorkbenchError(said if path.name in said else f"{path}: {said}") from None

    async def use_imported(self, path: Path) -> tuple[str, ...]:
        """Make the recipe in a file the current one, as an undoable edit; returns what may surprise."""
        imported = await self.import_recipe(path)
        self.use(imported.recipe, f"import {path.name}")
        return imported.notices

    def recipe_text(self, plan: Plan, form: RecipeFormat) -> str:
        """A plan's recipe in some format."""
        match form:
            case RecipeFormat.TOML:
                return format_recipe(plan.recipe, plan.shape)
            case RecipeFormat.JSON:
                return format_recipe_json(plan.recipe)
            case RecipeFormat.TENSOR_TYPES:
                return tensor_type_file(plan)
            case RecipeFormat.SCRIPT:
                return self.script_for(plan)

    def write_recipe(self, path: Path, plan: Plan, form: RecipeFormat) -> None:
        """Write a plan's recipe, in place of what was in the file; a script is executable."""
        if form is not RecipeFormat.SCRIPT:
            plan = msgspec.structs.replace(plan, recipe=seen_from(plan.recipe, expanded(path).parent))
        self._write(path, self.recipe_text(plan, form), executable=form is RecipeFormat.SCRIPT)

    async def side(self, path: Path) -> Side:
        """A file to compare: a GGUF as it is, anything else as a recipe on the open model."""
        path = expanded(path)
        if is_gguf(path):
            return await self._file_side(path)
        imported = await self.import_recipe(path)
        try:
            return side_of_plan(resolve(self._open_model().shape, imported.recipe))
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None

    def compare_files(self, path: Path, other: Path) -> tuple[Job, list[Side]]:
        """Read two GGUF files in the background, their data too; the list then holds both sides."""
        sides: list[Side] = []

        async def work(running: RunningJob) -> str:
            for each in (expanded(path), expanded(other)):
                side = await self._file_side(each)
                done = await run_task(DigestTensors(each), running.log, running.progress_of, running.started)
                assert done.tensor_digests is not None
                sides.append(side._replace(digests=done.tensor_digests))
            return f"{len(differences(*sides))} tensors differ"

        return self._add_job("compare", f"compare {path.name} and {other.name}", work), sides

    async def _file_side(self, path: Path) -> Side:
        shape, _ = await read_header(path, self.paths)
        return side_of_file(path.name, shape)


def known_format(path: Path) -> RecipeFormat | None:
    """The format that a file's name asks for, None where it asks for none."""
    return _SUFFIXES.get(path.suffix.lower())


def format_for(path: Path) -> RecipeFormat:
    """The format that a file's name asks for; WorkbenchError where it asks for none."""
    form = known_format(path)
    if form is None:
        known = ", ".join(f"{suffix} ({form})" for suffix, form in _SUFFIXES.items())
        raise WorkbenchError(f"{path.name} does not tell its format; end its name with {known}")
    return form


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF model does; WorkbenchError where it cannot be read."""
    try:
        return read_at_most(expanded(path), len(_GGUF)) == _GGUF
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be read: {error.strerror}") from None


def _read_recipe(
    text: str, shape: ModelShape, path: Path, find: FindImatrix, find_file: FindFile
) -> Imported:
    """The recipe in a text of any of the formats."""
    if is_script(text):
        name, base, entries = read_script(text)
        imported = _from_entries(entries, shape, name or path.stem, base)
        if (named := script_imatrix(text)) is None:
            return imported
        return imported._replace(recipe=with_imatrix(imported.recipe, find(*named)))
    if text.lstrip().startswith("{"):
        return Imported(parse_recipe_json(text, shape, path.stem, find, find_file))
    if path.suffix.lower() == ".toml" or not _holds_entries(text):
        return Imported(parse_recipe(text, shape, str(path), find, find_file))
    return _from_entries(parse_entries(text), shape, path.stem, None)


def _holds_entries(text: str) -> bool:
    """Whether a text is a tensor-type file: every word of it has a pattern, `=` and a type."""
    words = text.split()
    return bool(words) and all("=" in word.strip("=") for word in words)


def _from_entries(entries: list[Entry], shape: ModelShape, name: str, base: FileType | None) -> Imported:
    """A recipe of llama-quantize's options; without a file type, that of the type given to most weights."""
    types, notices = match(shape, entries)
    if base is None:
        weights: dict[FileType, int] = {}
        for tensor, kind in types.items():
            of_kind = file_type_for(kind)
            weights[of_kind] = weights.get(of_kind, 0) + shape.by_name[tensor].n_weights
        quantized = {known: n for known, n in weights.items() if known.is_quantized}
        base = max(quantized, key=lambda known: quantized[known], default=FileType.Q8_0)
        if len(types) < len(quantizable_names(shape)):
            said = f"the file does not say what the other tensors become; {base} is taken, as most have that"
            notices = (*notices, said)
    return Imported(Recipe(name, base, types if base.is_quantized else {}), notices)
