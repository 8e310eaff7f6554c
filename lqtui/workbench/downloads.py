"""Models from the Hugging Face Hub: found, looked at, downloaded in the background, and removed again."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path

from lqtui.hub.values import (
    Fitness,
    Found,
    HubAnswer,
    HubCache,
    HubModel,
    Pulled,
    Removed,
    Repository,
)
from lqtui.recipe.file_names import UNQUANTIZED
from lqtui.recipe.spelling import nearest
from lqtui.store.errors import StoreError
from lqtui.store.files import format_size
from lqtui.store.paths import Paths
from lqtui.system.meters import Snapshot
from lqtui.workbench.asked import AskedDownload
from lqtui.workbench.jobs import RunningJob, new_log
from lqtui.workbench.running import Running
from lqtui.workbench.values import DOWNLOAD, Job, Settings, WorkbenchError, WorkFailedError
from lqtui.worker.client import JobFailed, TaskRefused, run_task
from lqtui.worker.hub_messages import (
    BytesCame,
    HubTask,
    ListCache,
    ListRepository,
    Pull,
    RemoveCached,
    SearchHub,
)
from lqtui.worker.messages import Event, Progress

REFERENCE_REPOSITORY = "Qwen/Qwen2-0.5B-Instruct-GGUF"
REFERENCE_FILE = "qwen2-0_5b-instruct-fp16.gguf"
"""The model of the published experiment, small enough for any machine."""

_ANSWER_SECONDS = 40.0
"""How long a search or a list may take, the start of its process on a busy machine included."""
_SILENCE_SECONDS = 120.0
"""How long a download may bring less than the 64 KiB that are told of at once."""
_BEAT_SECONDS = 0.5
_RATE_SECONDS = 5.0
"""The time over which a download's speed is told."""
_SHOWN = 8
_COMFORTABLE = 0.8
"""The share of the free memory that weights may take and leave room for a context."""


class Downloads(Running):
    """The part of the workbench that brings models; no model need be open for it."""

    def __init__(self, paths: Paths, settings: Settings | None = None) -> None:
        super().__init__(paths, settings)
        self._pulling: dict[tuple[str, str], int] = {}
        self._pulled: dict[int, Path] = {}

    async def search_hub(self, query: str, limit: int = 40) -> Found:
        """The repositories with GGUF files whose names hold the query's words, the most downloaded first."""
        found = await self._ask(SearchHub(query, limit))
        assert isinstance(found, Found)
        return found

    async def list_repository(self, repository: str) -> Repository:
        """The GGUF models that a repository has, and what of them is on this machine."""
        found = await self._ask(ListRepository(repository))
        assert isinstance(found, Repository)
        return found

    async def cached_models(self) -> HubCache:
        """The GGUF models in the Hub's cache on this machine, the last to come first."""
        found = await self._ask(ListCache())
        assert isinstance(found, HubCache)
        return found

    async def remove_cached(self, repository: str, name: str = "") -> Removed:
        """Remove a repository's GGUF models from the Hub's cache, or the one of that name."""
        numbers = [number for (of, _), number in self._pulling.items() if of == repository]
        if any(self._queue.job(number).active for number in numbers):
            raise WorkbenchError(f"{repository} is being downloaded; cancel that first")
        found = await self._ask(RemoveCached(repository, name))
        assert isinstance(found, Removed)
        return found

    def pull(self, repository: Repository, model: HubModel) -> Job:
        """Download a model in the background, beside whatever else runs; `pulled` tells where it is then.

        A download that was broken off goes on where it was; one that runs already is given once more.
        """
        if model.missing:
            raise WorkbenchError(
                f"{model.name} of {repository.id} is not whole: {model.missing} of its parts are missing"
            )
        return self._pull(AskedDownload(repository.id, repository.commit, model))

    def _pull(self, asked: AskedDownload) -> Job:
        model, key = asked.model, (asked.repository, asked.model.name)
        if key in self._pulling and self._queue.job(self._pulling[key]).active:
            return self._queue.job(self._pulling[key])

        async def work(running: RunningJob) -> str:
            task = Pull(asked.repository, asked.commit, model.files)
            meter, loop = _Meter(running), asyncio.get_running_loop()
            beat = asyncio.create_task(meter.beat())
            try:
                async with asyncio.timeout(_SILENCE_SECONDS) as limit:

                    def hear(event: Event) -> None:
                        limit.reschedule(loop.time() + _SILENCE_SECONDS)
                        meter.hear(event)

                    done = await run_task(task, running.log, hear, running.started)
            except TimeoutError:
                raise WorkFailedError(
                    f"the Hugging Face Hub sent next to nothing for {_SILENCE_SECONDS:.0f} seconds; "
                    "try again, and the download goes on from where it is"
                ) from None
            finally:
                beat.cancel()
            assert isinstance(done.hub, Pulled)
            self._pulled[job.id] = done.hub.path
            told = all(file.sha256 for file in model.files)
            return f"{format_size(model.bytes)}{', its digest is right' if told else ''}"

        title = f"download {model.name.rpartition('/')[2]}"
        job = self._add_job(DOWNLOAD, title, work, at_once=True, asked=asked)
        self._pulling[key] = job.id
        return job

    def pulled(self, job: Job) -> Path | None:
        """Where a download that is done has put its model, the first part of a split one."""
        return self._pulled.get(job.id)

    async def _ask(self, task: HubTask) -> HubAnswer:
        try:
            log = new_log(self.paths.logs, "hub")
            async with asyncio.timeout(_ANSWER_SECONDS):
                done = await run_task(task, log)
        except TimeoutError:
            raise WorkFailedError(
                f"the Hugging Face Hub gave no whole answer in {_ANSWER_SECONDS:.0f} seconds; try again later"
            ) from None
        except TaskRefused as error:
            raise WorkbenchError(str(error)) from None
        except (JobFailed, StoreError) as error:
            raise WorkFailedError(str(error)) from None
        log.unlink(missing_ok=True)
        assert done.hub is not None
        return done.hub


class _Meter:
    """Makes a download's progress of the bytes that come: how many there are, and how fast of late."""

    def __init__(self, running: RunningJob) -> None:
        self._running = running
        self._last: BytesCame | None = None
        self._came: deque[tuple[float, int]] = deque()

    def hear(self, event: Event) -> None:
        """Show how far the download is."""
        if isinstance(event, BytesCame):
            if self._last is None or event.stage != self._last.stage:
                self._came.clear()
            self._last = event
            self._show()

    async def beat(self) -> None:
        """Show again and again: where nothing comes, the speed is to fall."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self._show()

    def _show(self) -> None:
        last = self._last
        if last is None:
            return
        now = time.monotonic()
        self._came.append((now, last.done))
        while len(self._came) > 2 and now - self._came[1][0] > _RATE_SECONDS:
            self._came.popleft()
        began, before = self._came[0]
        rate = (last.done - before) / (now - began) if now - began > _BEAT_SECONDS else None
        share = last.done / last.total if last.total else None
        progress = Progress(last.stage, last.done >> 20, last.total >> 20, "MiB", share=share)
        self._running.progress(progress, rate=rate if last.stage == "downloading" else None)


def choose_model(repository: Repository, wanted: str = "") -> HubModel:
    """The model of a repository that a person named: by its file, by its type (`q8_0`), or as its base.

    Raises WorkbenchError where there is none, or more than one; it says what there is.
    """
    models = [model for model in repository.models if model.fitness is not Fitness.COMPANION]
    if not repository.models:
        raise WorkbenchError(without_gguf(repository))
    if not wanted:
        return _base(repository, models)
    found = (
        [m for m in repository.models if wanted in (m.name, *(file.path for file in m.files))]
        or [m for m in repository.models if wanted.lower() == m.name.rpartition("/")[2].lower()]
        or [m for m in models if wanted.upper().replace("FP", "F") == m.type]
    )
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(model.name for model in found)
        raise WorkbenchError(f"{wanted} is any of {names} in {repository.id}; name one of them")
    near = nearest(wanted, [name for m in models for name in (m.name, m.type)])
    hint = f"did you mean {near}?" if near else _what_there_is(models)
    raise WorkbenchError(f"{repository.id} has no GGUF {wanted}; {hint}")


def without_gguf(repository: Repository) -> str:
    """What to say of a repository without GGUF files, and of what it has instead."""
    if repository.unusable:
        return f"{repository.id} has GGUF files under names alone that lqtui does not use"
    if repository.safetensors:
        return (
            f"{repository.id} has no GGUF file; its model is in safetensors "
            f"({format_size(repository.safetensors)}), which `lqtui convert {repository.id}` makes a GGUF of"
        )
    return f"{repository.id} has no GGUF file"


def memory_said(n_bytes: int, machine: Snapshot) -> str:
    """Roughly, whether a base model of some size can be measured on a machine: its weights alone, mapped."""
    free = f"the {format_size(machine.ram_free)} of memory that are free"
    if n_bytes < _COMFORTABLE * machine.ram_free:
        said = f"its weights fit into {free}"
    elif n_bytes < machine.ram_free:
        said = f"its weights only just fit into {free}"
    else:
        said = (
            f"its weights do not fit into {free}, so that measuring reads them from the disk again and again"
        )
    vram = sum(gpu.vram_free or 0 for gpu in machine.gpus)
    return f"{said}; the GPU has {format_size(vram)} free" if vram else said


def _base(repository: Repository, models: list[HubModel]) -> HubModel:
    bases = [model for model in models if model.fitness is Fitness.BASE and not model.missing]
    ranks = [*UNQUANTIZED, "16-bit"]
    bases.sort(key=lambda model: ranks.index(model.type) if model.type in ranks else len(ranks))
    if bases and [model.type for model in bases].count(bases[0].type) == 1:
        return bases[0]
    if bases:
        names = ", ".join(model.name for model in bases if model.type == bases[0].type)
        raise WorkbenchError(f"{repository.id} has several unquantized models: {names}; name one of them")
    raise WorkbenchError(f"{repository.id} has no unquantized model to begin with; {_what_there_is(models)}")


def _what_there_is(models: list[HubModel]) -> str:
    names = [model.type or model.name for model in models]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it has {', '.join(names[:_SHOWN])}{more}" if names else "it has none"
