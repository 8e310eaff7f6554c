"""The memory of the current recipe: asked of the engine once a context, and told again at each edit."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lqtui.recipe.memory import Part
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.types import TensorType
from lqtui.workbench import Change, Fit, Workbench, fitting
from lqtui.worker.client import EngineDied

F16, Q8 = TensorType.F16, TensorType.Q8_0


async def settled(bench: Workbench) -> Fit:
    """The fit once llama.cpp has answered."""
    assert bench.plan is not None
    return await bench.known_fit(bench.plan)


async def test_the_engine_is_asked_in_the_background_and_the_answer_is_told(opened: Workbench) -> None:
    told = asyncio.Event()
    opened.subscribe(lambda change: told.set() if change is Change.FIT else None)
    assert opened.fit == Fit(1024, F16, F16)  # the model's own context is the longest
    await asyncio.wait_for(told.wait(), 30)
    fit = opened.fit
    assert fit is not None and fit.memory is not None
    assert fit.memory.of(part=Part.KV_CACHE) == 2 * 24 * 64 * 2 * 1024  # K and V of 24 blocks, a head of 64


async def test_each_edit_is_told_at_once(opened: Workbench) -> None:
    before = await settled(opened)
    assert opened.plan is not None and before.memory is not None
    opened.use(preset("uniform_q4_0", opened.plan.shape), "uniform_q4_0")
    after = opened.fit
    assert after is not None and after.memory is not None
    assert after.memory.needed < before.memory.needed
    kept = [b for b in before.memory.buffers if b.part is not Part.WEIGHTS]
    assert [b for b in after.memory.buffers if b.part is not Part.WEIGHTS] == kept


async def test_a_context_is_asked_for_once(opened: Workbench, tmp_path: Path) -> None:
    """The model's file is gone when the first context comes up again."""
    copy = shutil.copy(opened.model.path, tmp_path / "copy.gguf")  # type: ignore[union-attr]
    await opened.open(copy)
    opened.fit_to(512, F16, F16)
    first = await settled(opened)
    copy.unlink()
    opened.fit_to(1024, F16, F16)
    assert "copy.gguf does not exist" in (await settled(opened)).problem
    opened.fit_to(512, F16, F16)
    assert opened.fit == first


async def test_only_the_last_of_many_contexts_in_a_row_is_asked_for(opened: Workbench) -> None:
    for n_ctx in (256, 512, 1024):
        opened.fit_to(n_ctx, F16, F16)
        assert opened.fit is not None and opened.fit.memory is None
    assert (await settled(opened)).memory is not None
    opened.fit_to(512, F16, F16)
    assert opened.fit is not None and opened.fit.memory is None


async def test_another_plan_than_the_current_one_can_be_asked_about(opened: Workbench) -> None:
    assert opened.plan is not None
    shape = opened.plan.shape
    fit = await opened.known_fit(resolve(shape, preset("uniform_q4_0", shape)))
    current = await settled(opened)
    assert fit.memory is not None and current.memory is not None
    assert fit.memory.needed < current.memory.needed


async def test_a_model_that_cannot_run_and_a_cache_that_cannot_be_are_unknown_with_the_reason(
    bench: Workbench, tiny_model: Path, zoo: dict[str, Path]
) -> None:
    await bench.open(tiny_model)
    bench.fit_to(512, Q8, Q8)
    assert "cannot make a context of 512 tokens" in (await settled(bench)).problem  # heads of 16
    await bench.open(zoo["70B"])
    fit = await settled(bench)
    assert fit.memory is None and "cannot load this model" in fit.problem


async def test_what_could_not_be_told_is_asked_again_after_a_while(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    monkeypatch.setattr(fitting, "time", clock)
    asked = 0

    async def run_out_of_memory(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise EngineDied("the engine was killed")

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "run_task", run_out_of_memory)
        for _ in range(2):
            assert (await settled(opened)).problem == "the engine was killed"
    clock.now += 59
    assert (await settled(opened)).memory is None and asked == 1
    clock.now += 1
    assert opened.fit is not None and opened.fit.problem == "the engine was killed"
    fit = await settled(opened)
    assert fit.memory is not None and not fit.problem


async def test_without_a_model_there_is_nothing_to_fit(bench: Workbench) -> None:
    assert bench.fit is None


@pytest.mark.parametrize("moment", [0.0, 0.3])
async def test_a_workbench_closes_while_the_engine_is_asked(opened: Workbench, moment: float) -> None:
    assert opened.fit is not None
    await asyncio.sleep(moment)
    await asyncio.wait_for(opened.close(), 10)
