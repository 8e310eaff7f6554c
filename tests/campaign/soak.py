"""Long runs: thousands of jobs in one process, and hundreds in the app, after which nothing has grown.

Most jobs ask for what is known by then, as those of a person who goes back and forth do, and take no time;
every few have the engine work in a process of its own, are cancelled, paused, killed or done again. All of
them measure the same recipes, so that memory, handles, threads, tasks and the folders under the home have
nothing to grow by.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from gguf_files import tiny_text, write_tiny_llama
from textual._styles_cache import StylesCache

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.workbench import Job, JobState, Settings, Workbench
from lqtui.workbench.conversation import Sampling
from tests.campaign.row import Row

DEFAULT = 3000
ENGINE = 0.1
"""The share of jobs for which the engine really works."""
_APP_SHARE = 10
"""Of so many jobs, one is done in the app."""
_NAMES = ("baseline_fp16", "uniform_q4_0", "first_4_layers_q8", "attention_q8", "ffn_q8", "Q4_K_M", "Q5_K_M")
_QUICK = Settings(n_ctx=64, chunks=2, threads=1, repetitions=1, n_prompt=8, n_gen=2)
_VISITS = (
    ("?", "escape"),
    ("M", "escape"),
    ("f4", "down", "enter", "escape"),
    ("f5", "down", "f3"),
    ("f2", "down", "8", "4", "u", "u"),
)
"""Keys that go somewhere and come back; those of one visit follow each job in the app."""
_ENGINE_SECONDS = 120.0
_SAMPLES = 40
_WARMING = 10
_LOGS_KEPT = 101
"""So many logs there may be, that of the job that runs included."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """What a process holds after some jobs."""

    jobs: int
    rss: int
    objects: int
    handles: int
    threads: int
    children: int
    tasks: int
    listeners: int
    logs: int
    files: int
    bytes: int
    """Files, and their bytes, that are no logs."""


@dataclass(frozen=True)
class Life:
    """What became of the jobs of one process."""

    samples: tuple[Sample, ...]
    disturbed: int
    """Jobs that were cancelled, paused or killed."""
    lost: tuple[str, ...]
    died: tuple[str, ...]


_GROWTH = {
    # What may be more at the end than after the warming up: so much, and so much for each job.
    "rss": (6 << 20, 1000.0),
    "objects": (12_000, 0.5),  # the hundred jobs that are still told of
    "handles": (2, 0.0),
    "threads": (2, 0.0),
    "children": (0, 0.0),
    "tasks": (3, 0.0),
    "listeners": (0, 0.0),
    "logs": (_LOGS_KEPT, 0.0),
    "files": (10, 0.01),
    "bytes": (1 << 20, 50.0),
}


def run(
    count: int,
    seed: int,
    work: Path,
    tell: Tell,
    workbench: type[Workbench] = Workbench,
    engine: float = ENGINE,
) -> Row:
    """Do `count` jobs in one process, a tenth as many in the app, and look what has grown."""
    in_app = max(1, count // _APP_SHARE)
    lives = {
        "the workbench": _in_process(_live_on_bench, count, seed, work / "bench", tell, workbench, engine),
        "the app": _in_process(_live_in_app, in_app, seed, work / "app", tell, workbench, engine),
    }
    leaks = [f"seed {seed}, {name}: {line}" for name, life in lives.items() for line in grown(life.samples)]
    lost = [f"seed {seed}, {name}: {line}" for name, life in lives.items() for line in life.lost]
    died = [f"seed {seed}, {name}: {line}" for name, life in lives.items() for line in life.died]
    return Row(
        part="soak",
        tried=f"{count:,} jobs in one process, {in_app:,} in the app",
        injected=sum(life.disturbed for life in lives.values()),
        lost=len(lost),
        deaths=len(died),
        leaks=len(leaks),
        details=(*lost, *died, *leaks),
    )


def grown(samples: Sequence[Sample]) -> list[str]:
    """What is more in the last quarter than in the second, beyond what chance makes of it."""
    quarter = len(samples) // 4
    if not quarter:
        return ["too few samples to tell anything"]
    warm, last = samples[quarter : 2 * quarter], samples[-quarter:]
    jobs = last[0].jobs - warm[0].jobs
    found = []
    for name, (at_once, each) in _GROWTH.items():
        before, after = (_median([asdict(sample)[name] for sample in part]) for part in (warm, last))
        if after - before > at_once + each * jobs:
            found.append(f"{name} grew from {before:,} to {after:,} in {jobs:,} jobs")
    return found


def _median(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2]


# One process


_Living = Callable[[int, int, Path, Tell, type[Workbench], float], Coroutine[None, None, Life]]


def _in_process(
    live: _Living, count: int, seed: int, home: Path, tell: Tell, workbench: type[Workbench], engine: float
) -> Life:
    """Live in a process that nothing else has used, or say how it died."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, live, count, seed, home, workbench, engine))
    process.start()
    there.close()
    try:
        while True:
            said = here.recv()
            if isinstance(said, Life):
                return said
            tell(said)
    except EOFError:
        process.join()
        return Life((), 0, (), (f"the process ended with {process.exitcode}",))
    finally:
        process.kill()
        process.join()


def _child(
    pipe: Connection,
    live: _Living,
    count: int,
    seed: int,
    home: Path,
    workbench: type[Workbench],
    engine: float,
) -> None:
    os.environ["LQTUI_HOME"] = str(home / "home")
    (home / "out").mkdir(parents=True, exist_ok=True)
    os.chdir(home / "out")
    pipe.send(asyncio.run(live(count, seed, home, pipe.send, workbench, engine)))


def _settings(home: Path) -> Settings:
    text = home / "tiny.txt"
    text.write_text(tiny_text())
    return replace(_QUICK, corpus=text)


async def _live_on_bench(
    count: int, seed: int, home: Path, tell: Tell, workbench: type[Workbench], engine: float
) -> Life:
    bench = workbench(Paths.under(home / "home"), _settings(home))
    bench.remember_jobs()
    models = [write_tiny_llama(home / f"tiny-{number}.gguf", seed=number) for number in (1, 2)]
    await bench.open(models[0])
    jobs = _Jobs(bench, random.Random(seed), home, models, engine)
    life = await _jobs_in_a_row(jobs, count, tell, jobs.one)
    await bench.close()
    return life


async def _live_in_app(
    count: int, seed: int, home: Path, tell: Tell, workbench: type[Workbench], engine: float
) -> Life:
    bench = workbench(Paths.under(home / "home"), _settings(home))
    models = [write_tiny_llama(home / "tiny-1.gguf", seed=1)]
    app = LqtuiApp(bench, models[0], read_meters=None)
    async with app.run_test(size=(120, 36)) as pilot:
        while bench.model is None or bench.model.digest is None:
            await pilot.pause(0.05)
        jobs = _Jobs(bench, random.Random(seed), home, models, engine)

        visits = itertools.cycle(_VISITS)

        async def one() -> None:
            await jobs.one()
            await pilot.press(*next(visits))

        life = await _jobs_in_a_row(jobs, count, tell, one)
    return replace(life, died=(*life.died, *([f"{app._exception!r}"] if app._exception else [])))


async def _jobs_in_a_row(
    jobs: _Jobs, count: int, tell: Tell, one: Callable[[], Coroutine[None, None, None]]
) -> Life:
    await jobs.know_all()
    for _ in range(_WARMING):
        await one()
    samples, every, began = [], max(1, count // _SAMPLES), time.monotonic()
    for number in range(count):
        await one()
        if (number + 1) % every == 0:
            samples.append(jobs.sample(number + 1))
        if (number + 1) % max(20, count // 10) == 0:
            now = samples[-1]
            tell(
                f"{number + 1:,} jobs in {time.monotonic() - began:.0f} s: {now.rss >> 20} MiB, "
                f"{now.objects:,} objects, {now.handles} handles, {now.files} files of {now.bytes:,} bytes"
            )
    return Life(tuple(samples), jobs.disturbed, tuple(jobs.lost), tuple(jobs.died))


class _Jobs:
    """One job after the other on a workbench, and what was wrong with any."""

    def __init__(
        self, bench: Workbench, chance: random.Random, home: Path, models: Sequence[Path], engine: float
    ) -> None:
        self.lost: list[str] = []
        self.died: list[str] = []
        self.disturbed = 0
        self._bench, self._chance, self._home, self._models = bench, chance, home, models
        self._engine = engine
        self._known: dict[tuple[str, str], float | None] = {}
        self._number = 0

    async def know_all(self) -> None:
        """Measure all recipes of all models, so that later jobs add nothing to what is kept."""
        for model in self._models:
            if len(self._models) > 1:
                await self._bench.open(model)
            await self._done(self._measure(*_NAMES))
            for name in _NAMES:
                self._known[model.name, name] = self._perplexity(name)

    async def one(self) -> None:
        """Ask for a job, wait for its end, and hold what is known against what was measured first."""
        self._number += 1
        doing = [self._known_already, self._edit_and_measure]
        if self._chance.random() < self._engine:
            doing = [self._anew, self._cancelled, self._paused, self._killed]
            doing += [self._written, self._chat, self._sweep]
            if len(self._models) > 1:
                doing += [self._other_model]
        chosen = self._chance.choice(doing)
        try:
            await asyncio.wait_for(chosen(), _ENGINE_SECONDS)
        except Exception as error:
            self.died.append(f"job {self._number}, {chosen.__name__[1:]}: {error!r}")
        self._compare()

    def sample(self, jobs: int) -> Sample:
        """What this process holds now."""
        StylesCache.get_inner_outer.cache_clear()  # keeps what 1,024 widgets drew, and no more
        gc.collect()
        process = psutil.Process()
        kept = [
            size
            for folder in ("out", "home/cache", "home/data", "home/state")
            for size in _sizes(self._home / folder)
        ]
        return Sample(
            jobs=jobs,
            rss=process.memory_info().rss,
            objects=len(gc.get_objects()),
            handles=process.num_fds(),
            threads=threading.active_count(),
            children=len(process.children()),
            tasks=len(asyncio.all_tasks()),
            listeners=len(self._bench._listeners),
            logs=len(_sizes(self._home / "home" / "logs")),
            files=len(kept),
            bytes=sum(kept),
        )

    # What is asked for

    async def _known_already(self) -> None:
        await self._done(self._measure(self._chance.choice(_NAMES)))

    async def _edit_and_measure(self) -> None:
        bench = self._bench
        kind = self._chance.choice([TensorType.Q4_0, TensorType.Q8_0])
        bench.assign([f"blk.{self._chance.randrange(4)}.attn_q.weight"], kind, "an edit")
        bench.undo()
        await self._done(self._measure(*self._chance.sample(_NAMES, 2)))

    async def _anew(self) -> None:
        await self._done(self._measure(self._chance.choice(_NAMES), fresh=True))

    async def _cancelled(self) -> None:
        job = self._measure(self._chance.choice(_NAMES), fresh=True)
        await asyncio.sleep(self._chance.uniform(0, 0.6))
        self._bench.cancel(job.id)
        self.disturbed += 1
        await self._bench.wait(job)
        await self._known_already()

    async def _paused(self) -> None:
        job = self._measure(self._chance.choice(_NAMES), fresh=True)
        await asyncio.sleep(self._chance.uniform(0, 0.6))
        self._bench.pause(job.id)
        self.disturbed += 1
        await asyncio.sleep(0.05)
        self._bench.resume(job.id)
        await self._done(job)

    async def _killed(self) -> None:
        job = self._measure(self._chance.choice(_NAMES), fresh=True)
        await asyncio.sleep(self._chance.uniform(0.05, 0.6))
        children = psutil.Process().children()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        self.disturbed += len(children)
        ended = await self._bench.wait(job)
        if ended.state is JobState.FAILED:
            self._bench.retry(job.id)
        await self._done(job)

    async def _written(self) -> None:
        name = self._chance.choice(_NAMES[1:])
        out = self._home / "out" / f"{name}.gguf"
        await self._done(self._bench.quantize_plan(self._plan(name), out))

    async def _chat(self) -> None:
        talk = self._bench.converse(self._plan("uniform_q4_0"))
        await self._done(self._bench.ask(talk, "the of and", Sampling(max_tokens=4), lambda: None))

    async def _sweep(self) -> None:
        await self._done(self._bench.measure_sensitivity("block", (TensorType.Q4_0,), 1))

    async def _other_model(self) -> None:
        assert self._bench.model is not None
        model = next(path for path in self._models if path != self._bench.model.path)
        await self._bench.open(model)
        await self._known_already()

    # Whether it came out right

    def _plan(self, name: str) -> Plan:
        assert self._bench.model is not None
        shape = self._bench.model.shape
        return resolve(shape, preset(name, shape))

    def _measure(self, *names: str, fresh: bool = False) -> Job:
        plans = [self._plan(name) for name in names]
        return self._bench.measure_plans(plans, f"measure {len(names)}", fresh=fresh, speed=False)

    async def _done(self, job: Job) -> None:
        ended = await self._bench.wait(job)
        if ended.state is not JobState.DONE:
            self.died.append(f"job {self._number}, {job.title}: {ended.state} ({ended.message})")

    def _perplexity(self, name: str) -> float | None:
        found = self._bench.result(self._plan(name))
        return found.perplexity if found else None

    def _compare(self) -> None:
        assert self._bench.model is not None
        for name in _NAMES:
            was, now = self._known.get((self._bench.model.path.name, name)), self._perplexity(name)
            if now != was:
                self.lost.append(f"job {self._number}: {name} was {was} and is {now}")


def _sizes(folder: Path) -> list[int]:
    """The bytes of each file below a folder, that may go meanwhile."""
    sizes = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                sizes.append(path.stat().st_size)
    return sizes


assert {field.name for field in fields(Sample)} == {"jobs", *_GROWTH}
