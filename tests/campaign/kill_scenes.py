"""What is being done when the kill comes: commands, and an app that works for hours."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from gguf_files import tiny_text, write_tiny_llama
from local_hub import LocalHub

_APP = """
import asyncio, json, sys
from pathlib import Path
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.store.paths import Paths
from lqtui.workbench import Settings, Workbench, WorkbenchError
from lqtui.workbench.session import Look, Sessions, View
from lqtui.workbench.unfinished import own_file

async def main(model, corpus, diary):
    paths = Paths.from_environment()
    bench = Workbench(paths, Settings(corpus=corpus, n_ctx=128, chunks=8, threads=1))
    bench.sessions = Sessions(paths)
    bench.remember_jobs()
    try:
        await bench.open(model)
    except WorkbenchError as error:
        sys.exit(f"lqtui: {error}")
    plans = [resolve(bench.model.shape, preset(name, bench.model.shape))
             for name in ("uniform_q4_0", "ffn_q8", "attention_q8")]
    print(json.dumps({"offered": bench.unfinished, "notices": bench.take_notices()}), flush=True)
    bench.decide_on_unfinished(resume=True)
    for plan in plans:
        try:
            bench.measure_plans([plan], f"measure {plan.recipe.name}", speed=False)
        except WorkbenchError:
            pass  # it goes on by itself
    for _ in range(400):
        if own_file(paths, model).exists():
            break
        await asyncio.sleep(0.01)
    note(diary, {"asked": [job.title for job in bench.jobs if job.active and job.kind == "measure"]})
    for job in [job for job in bench.jobs if job.active]:
        ended = await bench.wait(job)
        for plan in plans:
            if f"measure {plan.recipe.name}" == job.title and ended.state == "done":
                note(diary, {"done": plan.digest})
        bench.remember(View(row=job.id), Look())
    await asyncio.to_thread(sys.stdin.read)  # till the person leaves
    await bench.close()

def note(diary, said):
    with diary.open("a") as file:
        file.write(json.dumps(said) + "\\n")

asyncio.run(main(*map(Path, sys.argv[1:4])))
"""
_REPOSITORY, _FILE = "owner/model", "model-F16.gguf"


@dataclass(frozen=True)
class Stage:
    """What all scenes share: a model and a text that are never written to, and a Hub."""

    model: Path
    corpus: Path
    hub: LocalHub

    @classmethod
    @contextlib.contextmanager
    def built(cls, folder: Path) -> Iterator[Self]:
        """A stage in a folder of its own; its Hub is closed at the end."""
        folder.mkdir(parents=True, exist_ok=True)
        model = write_tiny_llama(folder / "tiny.gguf", blocks=6, width=128, ffn=256)
        corpus = folder / "text.txt"
        corpus.write_text(tiny_text())
        hub = LocalHub()
        content = np.random.default_rng(1).bytes(3_000_000)
        hub.add(_REPOSITORY, _FILE, b"GGUF" + content, seconds=0.08)
        try:
            yield cls(model, corpus, hub)
        finally:
            hub.close()

    def environment(self, home: Path) -> dict[str, str]:
        """What the processes of one home find."""
        return {
            "LQTUI_HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_OFFLINE": "0",
        }


@dataclass(frozen=True)
class Scene:
    """Something that lqtui does, and what it leaves.

    Attributes:
        name: What it is called.
        arguments: The command's, or those of the app that `_APP` is.
        outputs: The files that it writes beside its home's own, from which nothing may differ.
        offers: Whether it is an app, whose next start offers what was not finished.
    """

    name: str
    arguments: Callable[[Stage, Path], list[object]]
    outputs: tuple[str, ...] = ()
    offers: bool = False

    def command(self, stage: Stage, home: Path) -> list[str]:
        """What starts it."""
        start = [sys.executable, *(["-c", _APP] if self.offers else ["-m", "lqtui"])]
        return [*start, *map(str, self.arguments(stage, home))]

    def told(self, home: Path) -> set[str]:
        """The recipes that it told to be measured."""
        return {line["done"] for line in _diary(home) if "done" in line}

    def was_offered(self, said: str, home: Path, done: int) -> bool:
        """Whether the last start offered what the first one had asked for, of which some was done."""
        asked = next((line["asked"] for line in _diary(home) if "asked" in line), [])
        return len(json.loads(said.splitlines()[0])["offered"]) >= len(asked) - done


def _diary(home: Path) -> list[dict[str, list[str]]]:
    path = home.with_name("diary")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _measured(*options: object) -> Callable[[Stage, Path], list[object]]:
    def arguments(stage: Stage, _: Path) -> list[object]:
        name, *more = options
        text = ["--corpus", stage.corpus, "--ctx", 128, "--threads", 1]
        return [name, stage.model, *more, *text, "--json"]

    return arguments


SCENES = (
    Scene(
        "app",
        lambda stage, home: [stage.model, stage.corpus, home.with_name("diary")],
        offers=True,
    ),
    Scene(
        "measure",
        _measured("measure", "--preset", "uniform_q4_0", "--preset", "ffn_q8", "--kld", "--chunks", 12),
    ),
    Scene(
        "quantize",
        lambda stage, home: ["quantize", stage.model, home / "out.gguf", "--preset", "ffn_q8"],
        ("out.gguf",),
    ),
    Scene("sensitivity", _measured("sensitivity", "--types", "Q4_0", "--by", "block")),
    Scene("download", lambda *_: ["models", "pull", f"{_REPOSITORY}:{_FILE}"]),
    Scene(
        "imatrix",
        lambda stage, home: [
            "imatrix",
            stage.model,
            "--corpus",
            stage.corpus,
            "--chunks",
            30,
            "--ctx",
            128,
            "--threads",
            1,
            "-o",
            home / "out.imatrix.gguf",
        ],
        ("out.imatrix.gguf",),
    ),
    Scene(
        "export",
        lambda stage, home: ["export", stage.model, "--preset", "ffn_q8", "-o", home / "out.sh"],
        ("out.sh",),
    ),
)
