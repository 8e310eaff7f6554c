"""Quantized files that recipes copy tensors from: found, told from others, and told of when they are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Plan
from lqtui.store.kept import load_kept, save_kept
from lqtui.store.paths import Paths, from_home, is_directory
from lqtui.store.results import ResultStore
from lqtui.workbench.model_file import model_identity
from lqtui.workbench.values import WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.messages import Event, Fingerprint

_VERSION = 1


class _Digest(msgspec.Struct, frozen=True):
    sha256: str


class RecipeFiles:
    """Finds the quantized files that recipes name, by paths that may begin where the recipe file lies.

    Only a process of the engine reads such a file: what it told is remembered by the file's digest. A file of
    which nothing is known yet is refused, and then it is `unread`; what is `learned` of it lets it be found.
    With `gone_too` a file that is gone will do: what was measured with it can still be shown.
    """

    def __init__(self, paths: Paths, folder: Path, *, gone_too: bool = False) -> None:
        self._folder = folder
        self._kept = paths.data / "quantized"
        self._gone_too = gone_too
        self._learned: dict[Path, QuantizedFile] = {}
        self.unread: Path | None = None

    def __call__(self, path: str, sha256: str) -> QuantizedFile:
        """The file of a path and a digest, "" where none is named; RecipeError says why there is none."""
        known = load_kept(self._kept, "about", _VERSION, _Digest(sha256), QuantizedFile)
        if known is not None and self._gone_too:
            return msgspec.structs.replace(known, path=path)
        there = self._folder / from_home(path)
        refuse_missing(there)
        found = self._learned.get(there, known)
        if found is None:
            self.unread = there
            raise RecipeError(f"{there} has to be looked through before tensors are copied from it")
        if sha256 and found.sha256 != sha256:
            raise RecipeError(_other_file(there, found.sha256, sha256))
        return msgspec.structs.replace(found, path=str(there))

    def learned(self, file: QuantizedFile) -> None:
        """Know what was found in a file."""
        self._learned[Path(file.path)] = file

    def remember(self, file: QuantizedFile) -> None:
        """Keep what recipes depend on of a file. Raises StoreError."""
        save_kept(self._kept, "about", _VERSION, _Digest(file.sha256), file)


async def check_files(
    files: Iterable[QuantizedFile | None],
    store: ResultStore,
    log: Path,
    hear: Callable[[Event], None] | None = None,
    started: Callable[[int], None] | None = None,
) -> None:
    """Refuse quantized files that are gone, or have become other files than those that recipes are made with.

    A file that has changed since its SHA-256 was computed is read anew. Raises WorkbenchError, JobFailed.
    """
    for file in {file.sha256: file for file in files if file}.values():
        path = Path(file.path)
        try:
            refuse_missing(path)
        except RecipeError as error:
            raise WorkbenchError(str(error)) from None
        identity = model_identity(path)
        digest = store.get_model_digest(identity)
        if digest is None:
            digest = (await run_task(Fingerprint(path), log, hear, started)).digest
            assert digest is not None
            if model_identity(path) == identity:
                store.put_model_digest(identity, digest)
        if digest != file.sha256:
            raise WorkbenchError(_other_file(path, digest, file.sha256))


def refuse_copied(plan: Plan) -> None:
    """Refuse a plan that copies tensors, where llama-quantize is to make the file."""
    if plan.file is not None:
        raise WorkbenchError(
            f"llama-quantize cannot copy {len(plan.copied)} tensors from {plan.file.name}, so there is no "
            f"script; write the model in the app or by `lqtui quantize`, or take the file's types alone"
        )


def protect_source(plan: Plan, out: Path) -> None:
    """Refuse to write `out` where that would replace the file that a plan copies from."""
    try:
        is_source = plan.file is not None and out.samefile(plan.file.path)
    except OSError:
        return
    if is_source:
        raise WorkbenchError(f"{out} is the file that {plan.recipe.name} is copied from; choose another name")


def refuse_missing(path: Path) -> None:
    """Refuse a quantized file that is not there: RecipeError."""
    if is_directory(path):
        raise RecipeError(f"{path} is a directory; name a .gguf file in it")
    try:
        path.stat()
    except OSError:
        raise RecipeError(
            f"the quantized file {path} does not exist; put it back, or take the keys 'file' and "
            f"'file_sha256' out of the recipe to quantize its types from the base model"
        ) from None


def _other_file(path: Path, found: str, wanted: str) -> str:
    return (
        f"the quantized file {path} is not the one that the recipe was made with: its SHA-256 begins with "
        f"{found[:12]} and not with {wanted[:12]}; put the old file back, or take this one anew"
    )
