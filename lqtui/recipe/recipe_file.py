"""Recipe files: small TOML that a person can read, write and share."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import parse_file_type
from lqtui.recipe.imatrix import FindImatrix, find_no_imatrix, named_imatrix
from lqtui.recipe.quantized_file import FindFile, find_no_file, named_file
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.selectors import compact, select
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.toml_text import NotTomlError, parse_toml
from lqtui.recipe.types import TensorType, parse_type

_MOST_LINES = 10_000
"""Selectors; each is looked for in all tensors."""
_KEYS = {"name", "base", "description", "imatrix", "imatrix_sha256", "file", "file_sha256", "tensors"}


def parse_recipe(
    text: str,
    shape: ModelShape,
    source: str = "recipe",
    find_imatrix: FindImatrix = find_no_imatrix,
    find_file: FindFile = find_no_file,
) -> Recipe:
    """Read a recipe file's text for a model; later selectors win. `source` names the file in errors.

    Raises RecipeError, one sentence, for bad TOML, unknown keys or types, and selectors that do not fit.
    """
    try:
        document = parse_toml(text)
    except NotTomlError as error:
        raise RecipeError(f"{source} is not a TOML recipe: {error}") from None
    unknown = sorted(document.keys() - _KEYS)
    if unknown:
        raise RecipeError(
            f"{source}: unknown key {unknown[0]!r}; a recipe has name, base, description, imatrix, file, "
            f"[tensors]"
        )
    name = _text(document, "name", source)
    if "base" not in document:
        raise RecipeError(f"{source}: the key 'base' is missing; write for example base = \"Q4_0\"")
    tensors = document.get("tensors", {})
    if not isinstance(tensors, dict):
        raise RecipeError(f"{source}: 'tensors' must be a table: [tensors]")
    try:
        base = parse_file_type(_text(document, "base", source))
        overrides = _overrides(tensors, shape)
        imatrix, file = named_imatrix(document, find_imatrix), named_file(document, find_file)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from None
    return Recipe(name or source, base, overrides, _text(document, "description", source), imatrix, file)


def format_recipe(recipe: Recipe, shape: ModelShape) -> str:
    """A recipe as the text of a recipe file, which `parse_recipe` reads back to the same overrides."""
    lines = [f"name = {_quoted(recipe.name)}"]
    if recipe.description:
        lines.append(f"description = {_quoted(recipe.description)}")
    lines.append(f"base = {_quoted(recipe.base)}  # llama-quantize's file type; [tensors] depart from it")
    if recipe.imatrix is not None:
        lines.append(f"imatrix = {_quoted(recipe.imatrix.path)}  # llama-quantize's --imatrix")
        lines.append(f"imatrix_sha256 = {_quoted(recipe.imatrix.sha256)}")
    if recipe.file is not None:
        lines.append(f"file = {_quoted(recipe.file.path)}  # tensors of the same type are copied from it")
        lines.append(f"file_sha256 = {_quoted(recipe.file.sha256)}")
    selectors = compact(shape, recipe.overrides)
    if selectors:
        lines += ["", "[tensors]"]
        lines += [f"{_quoted(selector)} = {_quoted(t)}" for selector, t in selectors.items()]
    return "\n".join(lines) + "\n"


def _text(document: dict[str, object], key: str, source: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise RecipeError(f"{source}: {key!r} must be a text")
    return value


def _overrides(tensors: dict[str, object], shape: ModelShape) -> dict[str, TensorType]:
    overrides: dict[str, TensorType] = {}
    said_by: dict[str, tuple[str, str]] = {}
    lines = list(_flat(tensors))
    if len(lines) > _MOST_LINES:
        raise RecipeError(f"[tensors] has {len(lines):,} lines, and no more than {_MOST_LINES:,} are read")
    for table, selector, type_name in lines:
        if not isinstance(type_name, str):
            raise RecipeError(f'the type of {selector!r} must be a text such as "Q8_0"')
        tensor_type = parse_type(type_name)
        for tensor in select(shape, selector):
            earlier_table, earlier = said_by.setdefault(tensor.name, (table, selector))
            if earlier_table != table and overrides[tensor.name] is not tensor_type:
                raise RecipeError(
                    f"{earlier!r} and {selector!r} both name {tensor.name}, and without quotes TOML forgets "
                    f"which came later; write both in quotes, and the later line wins"
                )
            overrides[tensor.name] = tensor_type
            said_by[tensor.name] = (table, selector)
    return overrides


def _flat(table: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str, object]]:
    """Undo TOML's nesting where a selector was written without quotes: `blk.0-3 = "Q8_0"`.

    Yields table, selector and value: only within one table does TOML keep the order of the lines.
    """
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix, prefix + key, value


def _quoted(text: str) -> str:
    """A TOML basic string that no terminal obeys; JSON's escapes are a subset of TOML's."""
    quoted = json.dumps(text, ensure_ascii=False)
    return (
        quoted
        if quoted.isprintable()
        else "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in quoted)
    )
