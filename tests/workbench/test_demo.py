"""The demo model that comes with lqtui, and the word of welcome."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe, resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import Settings, Workbench, WorkbenchError
from lqtui.workbench.demo import DEMO_FILE, is_first_start
from lqtui.workbench.demo import demo_model as find_demo_model
from tests.workbench.bench_jobs import done

_ROOT = Path(__file__).parents[2]
_CARD = {
    FileType.Q8_0: (9_871_872, 0.00018),
    FileType.Q4_K_M: (5_672_960, 0.0071),
    FileType.Q4_0: (5_419_520, 0.0124),
    FileType.Q2_K: (3_803_648, 0.1033),
}
"""Bytes and mean KL divergence as stock llama.cpp gave them, from assets/MODEL_CARD.md."""


def test_it_is_whole_small_and_has_24_blocks_with_shared_key_heads(
    demo_model: Path, demo_shape: ModelShape
) -> None:
    shape = demo_shape
    assert demo_model.stat().st_size <= 20_000_000
    assert (shape.architecture, shape.block_count, shape.main_type) == ("llama", 24, TensorType.F16)
    assert 0 < shape.kv_heads < shape.heads


@pytest.mark.parametrize("tensor_type", TARGET_TYPES)
def test_every_type_applies_to_every_tensor_without_fallback(
    tensor_type: TensorType, demo_shape: ModelShape
) -> None:
    types = {tensor.name: tensor_type for tensor in quantizable_tensors(demo_shape)}
    plan = resolve(demo_shape, with_types(demo_shape, "all", types))
    assert not any(planned.fell_back for planned in plan.tensors)
    assert {p.effective for p in plan.tensors if p.quantizable} == {tensor_type}


@pytest.mark.parametrize("base", _CARD)
def test_its_quantized_sizes_are_those_on_its_card(base: FileType, demo_shape: ModelShape) -> None:
    assert resolve(demo_shape, Recipe("card", base)).file_bytes == _CARD[base][0]


async def test_what_quantizing_costs_it_is_what_its_card_says_and_the_first_block_costs_most(
    bench: Workbench, settings: Settings, demo_model: Path, demo_shape: ModelShape
) -> None:
    bench.configure(replace(settings, n_ctx=512, chunks=3))
    await bench.open(demo_model)
    recipes = [Recipe(base, base) for base in _CARD]
    for block in (0, 7):
        names = [tensor.name for tensor in quantizable_tensors(demo_shape) if tensor.block == block]
        recipes.append(Recipe(f"block {block}", FileType.Q8_0, dict.fromkeys(names, TensorType.Q2_K)))
    plans = [resolve(demo_shape, recipe) for recipe in recipes]
    await done(bench, bench.measure_plans(plans, "measure", speed=False))
    rows = {row.name: row for row in bench.results}
    divergences = {base: rows[base].kld for base in _CARD}
    assert divergences == pytest.approx({base: kld for base, (_, kld) in _CARD.items()}, rel=0.2)
    assert 10 * (rows["block 7"].kld or 1) < (rows["block 0"].kld or 0) < (rows["Q2_K"].kld or 0)
    by_perplexity = sorted(_CARD, key=lambda base: rows[base].perplexity or 0)
    assert by_perplexity[0] is FileType.Q8_0 and by_perplexity[-1] is FileType.Q2_K
    assert abs(rows["Q8_0"].delta_percent or 9) < 0.5 and 5 < (rows["Q2_K"].delta_percent or 0) < 20


def test_a_damaged_or_missing_file_is_told_in_a_sentence(demo_model: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="missing from this installation"):
        find_demo_model((tmp_path,))
    damaged = shutil.copy(demo_model, tmp_path / DEMO_FILE)
    with Path(damaged).open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"?")
    with pytest.raises(WorkbenchError, match="is damaged"):
        find_demo_model((tmp_path,))


def test_the_first_start_is_the_first_only(paths: Paths) -> None:
    assert is_first_start(paths)
    assert not is_first_start(paths)


def test_a_home_that_cannot_be_written_is_no_first_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not is_first_start(Paths.under(tmp_path / "file"))


def test_wheel_and_sdist_carry_the_model(tmp_path: Path) -> None:
    wheel = Path(next(WheelBuilder(str(_ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    with zipfile.ZipFile(wheel) as archive:
        assert f"lqtui/assets/{DEMO_FILE}" in archive.namelist()
    sdist = Path(next(SdistBuilder(str(_ROOT)).build(directory=str(tmp_path))))
    shutil.unpack_archive(sdist, tmp_path)
    assert list(tmp_path.glob(f"lqtui-*/assets/{DEMO_FILE}"))
