"""What is known of the open model on the text that recipes are fitted on, from earlier sessions too."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lqtui.recipe.imatrix import Imatrix, matrix_digest
from lqtui.store.errors import StoreError
from lqtui.store.estimates import EstimatesKey, load_estimates
from lqtui.store.measured_alone import load_asked, save_asked
from lqtui.store.paths import Paths
from lqtui.store.results import ResultStore
from lqtui.workbench.corpora import Corpus, corpus_digest, halves, kept_halves
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.running import Running
from lqtui.workbench.values import Change, OpenModel, Settings, WorkbenchError

if TYPE_CHECKING:  # NumPy comes with them
    from lqtui.workbench.calibration import Calibration
    from lqtui.workbench.result_book import ResultBook

MIX_CHUNKS = 4
"""Chunks of the calibration text that a mix is measured on."""
_BYTES_PER_TOKEN = 12
"""No text has more for each token, so that many bytes hold as many chunks as are asked for."""
_LET_PAINT = 0.05
"""Seconds in which a screen can show results before anything that was learned earlier is read."""


class CalibratedOn(NamedTuple):
    """What a calibration is of: a model, the text that results are told on, settings, and the matrix."""

    model_digest: str
    told_on: Path
    calibration: Path | None
    n_ctx: int
    gpu_layers: int
    imatrix: str


class Calibrating(Running):
    """The part of the workbench that knows what was learned on which calibration text."""

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        super().__init__(paths, settings)
        self._calibrations: dict[CalibratedOn, Calibration] = {}
        self._recalled: CalibratedOn | None = None
        self._recalling: asyncio.Task[None] | None = None
        self._stop_recalling = threading.Event()

    def recall_importance(self) -> None:
        """Bring back in the background what earlier sessions learned of the open model on the texts of now.

        A change of IMPORTANCE tells that it is there. Nothing happens where this was done already, and little
        where nothing is remembered.
        """
        wanted, told = self._calibrated_on, self._book
        if wanted is None or told is None or wanted == self._recalled:
            return
        self._recalled = wanted
        others = [known for known in self._calibrations if known.model_digest != wanted.model_digest]
        for other in others:
            del self._calibrations[other]
        self._stop_recalling.set()
        if wanted not in self._calibrations:
            self._stop_recalling = threading.Event()
            self._recalling = asyncio.create_task(self._recall(wanted, told, self._stop_recalling))

    async def recalled_importance(self) -> None:
        """Bring it back, and wait until it is there."""
        self.recall_importance()
        if self._recalling is not None:
            await asyncio.wait([self._recalling])

    async def close(self) -> None:
        """Read nothing any more, stop all jobs and close the store."""
        self._stop_recalling.set()
        if self._recalling is not None:
            await asyncio.wait([self._recalling])
        await super().close()

    @property
    def _calibrated_on(self) -> CalibratedOn | None:
        if self.model is None or self._corpus is None:
            return None
        return _calibrated_on(self.model, self.settings, self._corpus.path, self.imatrix)

    def _current_calibration(self) -> Calibration | None:
        """What is known of the open model on the calibration text of now."""
        wanted = self._calibrated_on
        return self._calibrations.get(wanted) if wanted else None

    async def _recall(self, wanted: CalibratedOn, told: ResultBook, stop: threading.Event) -> None:
        await asyncio.sleep(_LET_PAINT)
        if stop.is_set() or wanted != self._calibrated_on:
            return

        imatrix = self.imatrix

        def read() -> Calibration | None:
            text = self._calibration_text(told.settings, wanted.told_on, may_cut=False)
            if text is None:
                return None
            return _recalled(self._store, self.paths, text, told, wanted.told_on, imatrix, stop)

        try:
            found = await asyncio.to_thread(read)
        except (WorkbenchError, StoreError):  # the job that asks for it anew will say what is in the way
            return
        if found is not None and not stop.is_set() and wanted not in self._calibrations:
            self._calibrations[wanted] = found
            self._tell(Change.IMPORTANCE)

    async def _calibrated(
        self, running: RunningJob, chunks: int = 1, imatrix: Imatrix | None = None
    ) -> Calibration:
        """The calibration of the open model by a matrix, its singles on at least so many chunks.

        What a job then does goes by the settings and texts of this moment, whatever is chosen meanwhile.
        """
        from lqtui.workbench.calibration import Calibration

        told, told_on = await self._ready_book(running)
        text = self._calibration_text(told.settings, told_on)
        wanted = _calibrated_on(told.model, told.settings, told_on, imatrix)
        assert text is not None and wanted is not None
        if self._recalling is not None and wanted == self._recalled:  # it knows more than a new one would
            await asyncio.wait([self._recalling])
        known = self._calibrations.get(wanted)
        if known is None or known.corpus.path != text.path:  # the file of the same name is another text now
            known = self._calibrations[wanted] = Calibration(
                text,
                _calibration_book(self._store, told, text, chunks),
                _calibration_book(self._store, told, text, MIX_CHUNKS),
                told,
                told_on,
                imatrix,
            )
        elif known.singles.settings.chunks < chunks:
            known.measure_singles_in(_calibration_book(self._store, told, text, chunks))
        known.told, known.told_on = told, told_on
        return known

    def _remember_asked(self, calibration: Calibration) -> None:
        """Remember what was measured for a calibration, for later sessions to find it again."""
        with contextlib.suppress(StoreError):  # what was measured is kept all the same
            told = calibration.told
            key = estimates_key(told.model, told.settings, calibration.corpus, calibration.imatrix)
            save_asked(estimates_folder(self.paths), key, calibration.asked)

    async def _remember_found(self, calibration: Calibration) -> None:
        """Remember the frontier and the recipe that was fitted, with why each tensor got its type."""
        from lqtui.workbench.found import save_found

        told = calibration.told
        key = estimates_key(told.model, told.settings, calibration.corpus, calibration.imatrix)
        of = estimates_folder(self.paths), key, calibration.drawn, calibration.solved
        with contextlib.suppress(StoreError):  # it can be sought again
            await asyncio.to_thread(save_found, *of)

    def _calibration_text(self, settings: Settings, told_on: Path, *, may_cut: bool = True) -> Corpus | None:
        """The text to fit on: the person's own, or the second half of the one that results are told on.

        It is taken in chunks from all over it. None where the text would have to be cut first and that may
        not be. Raises WorkbenchError where results are told on that text too.
        """
        chosen = settings.calibration
        if chosen is not None:
            if corpus_digest(chosen) == corpus_digest(told_on):
                raise WorkbenchError(f"{chosen} cannot be fitted on and told on; choose two different texts")
            return Corpus(chosen.stem, chosen)
        reach = settings.chunks * settings.n_ctx * _BYTES_PER_TOKEN
        if settings.spread or reach > told_on.stat().st_size // 2:
            raise WorkbenchError(
                f"{self.corpus_name} is too short to fit on its second half and tell {settings.chunks} "
                f"chunks of {settings.n_ctx} on its first; choose fewer chunks, or a text to fit on"
            )
        whole = Corpus(self.corpus_name, told_on)
        parts = halves(whole, self.paths) if may_cut else kept_halves(whole, self.paths)
        return parts[1] if parts else None


def _calibrated_on(
    model: OpenModel, settings: Settings, told_on: Path, imatrix: Imatrix | None
) -> CalibratedOn | None:
    """What a calibration would be of; None while the model has no fingerprint."""
    if model.digest is None:
        return None
    chosen = settings.calibration, settings.n_ctx, settings.gpu_layers
    return CalibratedOn(model.digest, told_on, *chosen, matrix_digest(imatrix))


def spread_digest(corpus: Path) -> str:
    """The digest of a text that is taken in chunks from all over it; other chunks are another text."""
    return f"{corpus_digest(corpus)} spread"


def estimates_key(
    model: OpenModel, settings: Settings, text: Corpus, imatrix: Imatrix | None
) -> EstimatesKey:
    """What is kept of a model on its calibration text is found again under this."""
    digest, by = spread_digest(text.path), matrix_digest(imatrix)
    return EstimatesKey(model.digest or "", digest, settings.n_ctx, 1, model.engine, by)


def estimates_folder(paths: Paths) -> Path:
    """Where estimates are kept, and beside them what was measured alone."""
    return paths.cache / "estimates"


def _calibration_book(store: ResultStore, told: ResultBook, text: Corpus, chunks: int) -> ResultBook:
    """A book on the calibration text for the model and settings of the one that results are told in."""
    from lqtui.workbench.result_book import ResultBook

    settings = replace(told.settings, corpus=text.path, chunks=chunks, spread=True, divergence=True)
    return ResultBook(store, told.model, settings, spread_digest(text.path), named=False)


def _recalled(
    store: ResultStore,
    paths: Paths,
    text: Corpus,
    told: ResultBook,
    told_on: Path,
    imatrix: Imatrix | None,
    stop: threading.Event,
) -> Calibration | None:
    """What is remembered of a model on a text, None where that is nothing; in a thread of its own."""
    folder, key = estimates_folder(paths), estimates_key(told.model, told.settings, text, imatrix)
    estimates, asked = load_estimates(folder, key), load_asked(folder, key)
    if estimates is None and asked is None:
        return None
    from lqtui.workbench.calibration import Calibration
    from lqtui.workbench.found import recall_found

    alone = _calibration_book(store, told, text, asked.chunks if asked else 1)
    mixes = _calibration_book(store, told, text, MIX_CHUNKS)
    calibration = Calibration(text, alone, mixes, told, told_on, imatrix, estimates=estimates)
    if asked is not None:
        calibration.recall(asked, stop.is_set)
        recall_found(folder, key, calibration)
    calibration.view.correlations, calibration.costs  # noqa: B018 - worked out here, and not between two keys
    return calibration
