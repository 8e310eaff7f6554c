"""Importance matrix files that recipes name: found, looked through once, and told of when they are gone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import Plan, Recipe
from lqtui.store.errors import StoreError
from lqtui.store.imatrix_file import open_imatrix
from lqtui.store.kept import load_kept, save_kept
from lqtui.store.paths import Paths, expanded, from_home
from lqtui.store.results import FileIdentity
from lqtui.workbench.values import WorkbenchError

_VERSION = 1


class _Digest(msgspec.Struct, frozen=True):
    sha256: str


_described: dict[FileIdentity, Imatrix] = {}


def describe(path: Path) -> Imatrix:
    """What recipes depend on of a file; it is read once, as long as it does not change.

    Raises StoreError where it is no importance matrix, or holds impossible values.
    """
    path = expanded(path)
    try:
        identity = FileIdentity.of(path)
    except OSError:
        return open_imatrix(path).describe()  # which says why
    if identity not in _described:
        _described[identity] = open_imatrix(path).describe()
    return msgspec.structs.replace(_described[identity], path=str(path))


def files_of(made: Iterable[Plan | Recipe]) -> dict[str, Path]:
    """The importance matrices and quantized files that plans, or recipes, are made with, by their SHA-256."""
    used = [each for of in made for each in (of.imatrix, of.file) if each is not None]
    return {each.sha256: Path(each.path) for each in used}


class RecipeMatrices:
    """Finds the importance matrices that recipes name, by paths that may begin where the recipe file lies.

    What is found is remembered by its digest. With `gone_too`, that will do where the file is gone: what was
    measured with it can still be shown.
    """

    def __init__(self, paths: Paths, folder: Path, *, gone_too: bool = False) -> None:
        self._folder = folder
        self._kept = paths.data / "imatrices"
        self._gone_too = gone_too

    def __call__(self, path: str, sha256: str) -> Imatrix:
        """The matrix of a path and a digest, "" where none is named; RecipeError says why there is none."""
        if self._gone_too:
            known = load_kept(self._kept, "about", _VERSION, _Digest(sha256), Imatrix)
            if known is not None:
                return msgspec.structs.replace(known, path=path)
        try:
            found = describe(self._folder / from_home(path))
            if sha256 and found.sha256 != sha256:
                raise RecipeError(
                    f"the importance matrix {found.path} is not the one that the recipe was made with: its "
                    f"SHA-256 begins with {found.sha256[:12]} and not with {sha256[:12]}; put the old file "
                    f"back, or take imatrix_sha256 out of the recipe to go on with this one"
                )
            self.remember(found)
        except StoreError as error:
            raise RecipeError(str(error)) from None
        return found

    def remember(self, imatrix: Imatrix) -> None:
        """Keep what recipes depend on of a matrix. Raises StoreError."""
        if load_kept(self._kept, "about", _VERSION, _Digest(imatrix.sha256), Imatrix) is None:
            save_kept(self._kept, "about", _VERSION, _Digest(imatrix.sha256), imatrix)


def refuse_without_imatrix(plan: Plan) -> None:
    """Refuse a plan with types that llama-quantize writes by an importance matrix alone."""
    if plan.missing_imatrix:
        first = plan.missing_imatrix[0]
        raise WorkbenchError(
            f"{first.effective} needs an importance matrix for {first.name}: "
            + (
                f"{plan.recipe.imatrix.name} does not know that tensor; choose another type for it"
                if plan.recipe.imatrix
                else "compute one (in the app or by `lqtui imatrix`), or choose another type"
            )
        )


def seen_from(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe as it is written into a folder: files in the same folder go by their names alone."""
    imatrix, file, bare = recipe.imatrix, recipe.file, without_folders(recipe)
    if imatrix is not None and Path(imatrix.path).parent == folder:
        imatrix = bare.imatrix
    if file is not None and Path(file.path).parent == folder:
        file = bare.file
    return msgspec.structs.replace(recipe, imatrix=imatrix, file=file)


def without_folders(recipe: Recipe) -> Recipe:
    """The recipe as it can be shown to anybody: files go by their names alone, and by their digests."""
    imatrix, file = recipe.imatrix, recipe.file
    if imatrix is not None:
        imatrix = msgspec.structs.replace(imatrix, path=imatrix.name)
    if file is not None:
        file = msgspec.structs.replace(file, path=file.name)
    return msgspec.structs.replace(recipe, imatrix=imatrix, file=file)
