"""Importance matrices: computed in the background and kept, or loaded from a file, and put to use."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.recipe import with_imatrix
from lqtui.store.errors import StoreError
from lqtui.store.imatrix_file import open_imatrix
from lqtui.store.paths import Paths, expanded
from lqtui.workbench.asked import AskedImatrix
from lqtui.workbench.corpora import Corpus, check_text, corpus_digest, halves
from lqtui.workbench.expectations import importances
from lqtui.workbench.history import RecipeHistory
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.matrix_files import RecipeMatrices, describe
from lqtui.workbench.running import Running
from lqtui.workbench.values import Job, OpenModel, WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.messages import ComputeImatrix

IMATRIX_CHUNKS = 100
"""Chunks of the text, where nobody chose another number."""
SAVE_SECONDS = 10.0
"""So much of a computation is lost at most when it is stopped."""
_SUFFIX = ".imatrix.gguf"
_UNFINISHED = "unfinished.gguf"
_COMPUTED = "computed.gguf"
"""A matrix that has no name yet; it stays where the app was killed before it got one."""


@dataclass(frozen=True)
class KeptImatrix:
    """An importance matrix that was computed for a model: of which text, and how much of it."""

    path: Path
    dataset: str
    chunks: int
    n_ctx: int
    bytes: int


class Imatrices(Running):
    """The part of the workbench that makes importance matrices, and puts them to use."""

    computed_imatrix: Path | None = None
    """The file that the last job has made."""

    async def read_imatrix(self, path: Path) -> Imatrix:
        """The open model's matrix in a file; WorkbenchError where it is none, or another model's."""
        shape = self._open_model().shape
        try:
            found = await asyncio.to_thread(describe, expanded(path))
            found.check(shape)
            RecipeMatrices(self.paths, Path()).remember(found)
        except UnicodeEncodeError:
            raise WorkbenchError(f"the name of {path} is not valid Unicode; rename the file") from None
        except (StoreError, ValueError) as error:
            raise WorkbenchError(str(error)) from None
        return found

    async def use_imatrix(self, path: Path | None, slot: RecipeHistory | None = None) -> None:
        """Weigh the errors of the current recipe, or of a slot's, by the matrix in a file, or by none.

        It is an undoable edit.
        """
        asked_in = slot or self._open_history()
        found = await self.read_imatrix(path) if path is not None else None
        label = f"importance matrix {found.name}" if found else "no importance matrix"
        self._edit(with_imatrix(self._asked_in(asked_in).plan.recipe, found), label, asked_in)

    def compute_imatrix(
        self,
        corpus: Path | None = None,
        chunks: int = IMATRIX_CHUNKS,
        n_ctx: int = 512,
        *,
        out: Path | None = None,
        use: bool = False,
    ) -> Job:
        """Compute the open model's matrix on the first chunks of a text in the background, and keep it.

        Without a text it is the second half of the one that results are told on, so that nothing is told on
        what a recipe was made by. What was computed of the same text before, in a job that was stopped too,
        is gone on with. With `out` it is copied there, and with `use` it is the current recipe's then.
        """
        asked_in = self._open_history()
        if corpus is not None:
            check_text(expanded(corpus))

        async def work(running: RunningJob) -> str:
            digest = await self._fingerprinted(running)
            text = await self._imatrix_text(corpus, running)
            model = self._open_model()
            path = await self._computed(model, digest, text, chunks, n_ctx, running)
            if out is not None:
                path = await asyncio.to_thread(_copied, path, expanded(out))
            if use and self.model is model:
                await self.use_imatrix(path, asked_in)
            self.computed_imatrix = path
            return f"importance matrix {path}"

        asked = AskedImatrix(corpus, chunks, n_ctx, out, use)
        return self._add_job("imatrix", f"importance matrix of {chunks} chunks", work, asked=asked)

    def kept_imatrices(self) -> list[KeptImatrix]:
        """The matrices that were computed for the open model, those of the most chunks first."""
        if self.model is None or self.model.digest is None:
            return []
        return _kept_in(_model_folder(self.paths, self.model.digest))

    # Inside

    async def _imatrix_text(self, chosen: Path | None, running: RunningJob) -> Corpus:
        if chosen is not None:
            path = expanded(chosen)
            return Corpus(path.name, path)
        if self.settings.calibration is not None:
            return Corpus(self.settings.calibration.name, self.settings.calibration)
        if self._fetch_is_due:
            await self._corpora.fetch(running)
        return halves(self._corpora.at_hand(self.settings.corpus, self.model), self.paths)[1]

    async def _computed(
        self, model: OpenModel, digest: str, text: Corpus, chunks: int, n_ctx: int, running: RunningJob
    ) -> Path:
        """The file of a matrix of so many chunks, or as many as there are; computed if it is not kept."""
        folder = _model_folder(self.paths, digest) / f"{corpus_digest(text.path)[:16]}-{n_ctx}"
        begun = await asyncio.to_thread(_begun, folder, chunks)
        if begun is not None and begun[0] == chunks and begun[1].name != _UNFINISHED:
            return _named(begun[1], model, text, n_ctx)
        running.expect(importances(model.shape, n_ctx, chunks))
        made = folder / _COMPUTED
        task = ComputeImatrix(
            model.path,
            text.path,
            text.name,
            n_ctx,
            chunks,
            made,
            folder / _UNFINISHED,
            begun[1] if begun else None,
            SAVE_SECONDS,
            self.settings.threads_used,
            self.settings.gpu_layers,
        )
        await run_task(task, running.log, running.progress_of, running.started)
        return _named(made, model, text, n_ctx)


def all_kept_imatrices(paths: Paths) -> list[KeptImatrix]:
    """The matrices that were computed for any model, by model, those of the most chunks first."""
    folders = sorted((paths.cache / "imatrices").glob("*/"))
    return [kept for folder in folders for kept in _kept_in(folder)]


def _kept_in(folder: Path) -> list[KeptImatrix]:
    """The matrices in the folder of a model; what cannot be read is left out."""
    found = []
    for path in folder.glob(f"*/*{_SUFFIX}"):
        try:
            file = open_imatrix(path)
            size = path.stat().st_size
        except (StoreError, OSError):
            continue
        dataset = file.datasets[0] if file.datasets else path.name
        found.append(KeptImatrix(path, dataset, file.chunks, file.chunk_size, size))
    return sorted(found, key=lambda kept: (-kept.chunks, kept.dataset))


def _begun(folder: Path, chunks: int) -> tuple[int, Path] | None:
    """What is kept of a text that comes closest to so many chunks, and has no more: its chunks, and where."""
    found = []
    for path in (*folder.glob(f"*{_SUFFIX}"), folder / _COMPUTED, folder / _UNFINISHED):
        try:
            file = open_imatrix(path)
        except StoreError:
            continue
        if file.chunks <= chunks:
            found.append((file.chunks, path))
    return max(found, key=lambda pair: (pair[0], pair[1].name != _UNFINISHED), default=None)


def _named(made: Path, model: OpenModel, text: Corpus, n_ctx: int) -> Path:
    """A matrix by the name that it is kept by, given to it now where it has none."""
    if made.name != _COMPUTED:
        return made
    of = open_imatrix(made).chunks
    name = re.sub(r"[^\w.-]+", "-", f"{model.shape.name}-{text.name.removesuffix('.txt')}-{of}x{n_ctx}")
    return made.replace(made.with_name(f"{name[:100]}{_SUFFIX}"))


def _model_folder(paths: Paths, model_digest: str) -> Path:
    return paths.cache / "imatrices" / model_digest[:32]


def _copied(path: Path, out: Path) -> Path:
    import shutil

    from lqtui.store.files import atomic_write

    if path != out:
        with atomic_write(out) as temporary:
            shutil.copyfile(path, temporary)
    return out
