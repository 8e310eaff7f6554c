"""What the app is shown doing: always the same model, results, job and meters, so that pictures compare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from driving import screen_text
from fakes import FakeWorkbench
from model_shapes import llama_shape
from scripted_results import scores_of, seed_results
from textual.pilot import Pilot
from textual.widgets import Input

from lqtui.recipe.presets import preset
from lqtui.recipe.types import TensorType
from lqtui.system.meters import Snapshot
from lqtui.tui.app import LqtuiApp
from lqtui.workbench.preferences import Preferences

GIB = 1 << 30
METERS = Snapshot(
    ram_used=9 * GIB,
    ram_total=24 * GIB,
    swap_used=0,
    swap_total=0,
    cpu_percent=37.0,
    gpus=(),
    gpu_note="no NVIDIA GPU",
    gpu_absent=True,
)


@dataclass(frozen=True)
class Scene:
    """Keys that lead to a picture, and what is seen when it is there."""

    name: str
    keys: tuple[str, ...] = ()
    shows: str = "block scope"


MAIN = Scene("main")
DIALOGS = (
    Scene("tensors", ("enter", "l", "l"), "tensor scope"),
    Scene("help", ("?",), "lqtui: keys"),
    Scene("presets", ("p",), "uniform_q4_0"),
    Scene("types", ("t",), "bpw"),
    Scene("export", ("e",), "set -euo pipefail"),
    Scene("budget", ("b",), "budget"),
    Scene("save", ("n",), "name"),
    Scene("memory", ("M",), "KV"),
    Scene("leave", ("q",), "Leave"),
    Scene("results", ("f4",), "recipe"),
    Scene("jobs", ("f5",), "jobs"),
)


def posed_app(theme: str) -> LqtuiApp:
    """The app on a model of 30 blocks, all presets measured, in the middle of measuring another recipe."""
    shape = llama_shape()
    bench = FakeWorkbench(shape)
    bench.results = seed_results(shape)
    bench.scores = scores_of(bench.results)
    bench.use(preset("first_4_layers_q8", shape), "first_4_layers_q8")
    values = [f"blk.{block}.attn_v.weight" for block in range(4, 30)]
    bench.assign(values, TensorType.Q8_0, "attn_v of 26 blocks → Q8_0")
    bench.assign(["token_embd.weight"], TensorType.Q6_K, "token_embd → Q6_K")
    job = bench.measure()
    bench.advance(job.id, done=3, elapsed=14.0, eta=9.0)
    return LqtuiApp(bench, None, read_meters=lambda: METERS, preferences=Preferences(theme=theme, tour=False))


def arranged(scene: Scene) -> Callable[[Pilot[None]], Awaitable[None]]:
    """What brings the app to a scene, and waits until nothing moves any more."""

    async def arrange(pilot: Pilot[None]) -> None:
        await _settled(pilot)
        await pilot.press(*scene.keys)
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        for _ in range(100):
            await _settled(pilot)
            if scene.shows in screen_text(pilot):
                return
        raise AssertionError(f"{scene.shows!r} is not shown by {scene.name}:\n{screen_text(pilot)}")

    return arrange


async def _settled(pilot: Pilot[None]) -> None:
    """Until what is shown has been the same for a while: charts are drawn when keys rest."""
    same, before = 0, ""
    while same < 3:
        await pilot.pause(0.05)
        now = screen_text(pilot)
        same, before = (same + 1 if now == before else 0), now
