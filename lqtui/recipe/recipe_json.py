"""Recipes as JSON: what `lqtui plan --json` prints, and other programs write, read back as a recipe.

    {"name": "…", "base": "Q4_0", "tensors": {"blk.0.attn_v.weight": "Q8_0", …}}

An importance matrix is named by `imatrix`, its path, and `imatrix_sha256`; a quantized model to copy tensors
from by `file` and `file_sha256`. Each may be an object with `path` and `sha256` instead.
`tensors` may also be a list of objects with `name` and `effective` or `type`, which is how a plan is printed.
"""

from __future__ import annotations

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import parse_file_type
from lqtui.recipe.imatrix import FindImatrix, Imatrix, find_no_imatrix, named_imatrix
from lqtui.recipe.printable import printable_json
from lqtui.recipe.quantized_file import FindFile, QuantizedFile, find_no_file, named_file
from lqtui.recipe.recipe import Recipe, with_types
from lqtui.recipe.rules import quantizable_names
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType, parse_type


def parse_recipe_json(
    text: str,
    shape: ModelShape,
    source: str = "recipe",
    find_imatrix: FindImatrix = find_no_imatrix,
    find_file: FindFile = find_no_file,
) -> Recipe:
    """Read a JSON recipe for a model; `source` names the file in errors. Raises RecipeError, one sentence."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecipeError(f"{source} is not a JSON recipe: {error}") from None
    if not isinstance(document, dict):
        raise RecipeError(f"{source} is not a JSON recipe: it is not an object with base and tensors")
    try:
        imatrix, file = named_imatrix(document, find_imatrix), named_file(document, find_file)
        return _recipe(document, shape, source, imatrix, file)
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from None


def format_recipe_json(recipe: Recipe) -> str:
    """A recipe as JSON text, which `parse_recipe_json` reads back to the same recipe."""
    imatrix, file = recipe.imatrix, recipe.file
    document = {
        "name": recipe.name,
        "description": recipe.description,
        "base": recipe.base.value,
        **({"imatrix": imatrix.path, "imatrix_sha256": imatrix.sha256} if imatrix else {}),
        **({"file": file.path, "file_sha256": file.sha256} if file else {}),
        "tensors": {name: tensor_type.value for name, tensor_type in recipe.overrides.items()},
    }
    return printable_json(msgspec.json.format(msgspec.json.encode(document), indent=1).decode()) + "\n"


def _recipe(
    document: dict[object, object],
    shape: ModelShape,
    source: str,
    imatrix: Imatrix | None,
    file: QuantizedFile | None,
) -> Recipe:
    name = _text(document, "name") or source
    said = _text(document, "description")
    types = _types(document.get("tensors", {}), shape)
    if "base" in document:
        return Recipe(name, parse_file_type(_text(document, "base")), types, said, imatrix, file)
    missing = sorted(quantizable_names(shape) - types.keys())
    if missing:
        raise RecipeError(f"the key 'base' is missing, and {missing[0]} has no type")
    return with_types(shape, name, types, said, imatrix, file)


def _types(tensors: object, shape: ModelShape) -> dict[str, TensorType]:
    free = quantizable_names(shape)
    types = {}
    for name, type_name in _named(tensors):
        if name in shape.by_name and name not in free:
            continue  # a plan lists the tensors too that no recipe can change
        types[name] = parse_type(type_name)
    return types


def _named(tensors: object) -> list[tuple[str, str]]:
    """The names and types in either form."""
    found: list[tuple[object, object]] = []
    if isinstance(tensors, dict):
        found = list(tensors.items())
    elif isinstance(tensors, list) and all(isinstance(each, dict) for each in tensors):
        found = [(each.get("name"), each.get("effective", each.get("type"))) for each in tensors]
    else:
        raise RecipeError("'tensors' must be an object of names and types, or a list of them")
    named = []
    for name, type_name in found:
        if not isinstance(name, str) or not isinstance(type_name, str):
            raise RecipeError("each of the tensors must have a name and a type")
        named.append((name, type_name))
    return named


def _text(document: dict[object, object], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise RecipeError(f"{key!r} must be a text")
    return value
