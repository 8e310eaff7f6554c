"""Tasks for a child process, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import base_recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.worker.client import run_task
from lqtui.worker.messages import (
    ChunkScored,
    Event,
    Finished,
    Measure,
    Progress,
    RecipeTypes,
    Task,
    WriteModel,
)

T = TypeVar("T")
DIGEST = "0" * 64


@dataclass
class Run:
    """One task in a child process, and what it told."""

    log: Path
    events: list[Event] = field(default_factory=list)
    pid: int = 0
    until: Callable[[Event], bool] = lambda _: False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, task: Task) -> Finished:
        return await run_task(task, self.log, self._hear, self._started)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if self.until(event):
            self.reached.set()

    def _started(self, pid: int) -> None:
        self.pid = pid

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


def measure_task(
    model: Path, shape: ModelShape, corpus: Path, paths: Paths, *names: str, **changes: object
) -> Measure:
    plans = [resolve(shape, preset(name, shape)) for name in names]
    recipes = [RecipeTypes(plan.encodings, perplexity=True, speed=False) for plan in plans]
    values: dict[str, object] = {
        "model": model,
        "recipes": recipes,
        "pool": paths.pool,
        "model_digest": DIGEST,
        "label": "tiny",
        "corpus": corpus,
        "n_ctx": 128,
        "chunks": 3,
        "repetitions": 2,
        "n_prompt": 16,
        "n_gen": 4,
        "threads": 1,
    }
    return Measure(**(values | changes))  # type: ignore[arg-type]


def write_task(
    model: Path, shape: ModelShape, out: Path, paths: Paths, name: str = "uniform_q4_0"
) -> WriteModel:
    plan = resolve(shape, preset(name, shape))
    return WriteModel(model, plan.encodings, plan.file_type.number, out, paths.pool, "", 1)


def partials(*folders: Path) -> list[Path]:
    return [path for folder in folders if folder.exists() for path in folder.rglob("*.part")]


def is_gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def slow_encodings(shape: ModelShape) -> dict[str, Encoding]:
    plan = resolve(shape, base_recipe(shape))
    return {p.name: Encoding(TensorType.Q2_K if p.quantizable else p.effective) for p in plan.tensors}


def slow_measure(
    moment: Callable[[Event], bool], model: Path, shape: ModelShape, corpus: Path, paths: Paths
) -> Measure:
    """A measurement that is long where `moment` lies; the base model itself needs no quantizing."""
    encodings = slow_encodings(shape)
    if moment is scored:
        encodings = {tensor.name: Encoding(tensor.type) for tensor in shape.tensors}
    recipes = [RecipeTypes(encodings, perplexity=True, speed=False)]
    return measure_task(model, shape, corpus, paths, recipes=recipes, n_ctx=512, chunks=40)


def slow_write(model: Path, shape: ModelShape, out: Path, paths: Paths) -> WriteModel:
    return WriteModel(model, slow_encodings(shape), 10, out, paths.pool, "", 1)


def scored(event: Event) -> bool:
    return isinstance(event, ChunkScored)


def quantized_something(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage in ("quantizing", "writing") and event.done > 0


def pretend_child(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Have the client start this program as its child."""
    program = folder / "pretend.py"
    program.write_text(textwrap.dedent(code))
    script = folder / "pretend"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "{folder}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))


async def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
