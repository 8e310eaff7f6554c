"""The demo model that comes with lqtui, and the word of welcome."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from lqtui.llama.gguf import BaseModel
from lqtui.recipe.recipe import resolve, with_types
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import WorkbenchError
from lqtui.workbench.demo import DEMO_FILE, demo_model, is_first_start

_ROOT = Path(__file__).parents[2]


def test_it_is_whole_small_and_has_24_blocks_with_shared_key_heads() -> None:
    path = demo_model()
    assert path.stat().st_size <= 20_000_000
    with BaseModel(path) as base:
        shape = base.shape
    assert (shape.architecture, shape.block_count, shape.main_type) == ("llama", 24, TensorType.F16)
    assert 0 < shape.kv_heads < shape.heads


@pytest.mark.parametrize("tensor_type", TARGET_TYPES)
def test_every_type_applies_to_every_tensor_without_fallback(tensor_type: TensorType) -> None:
    with BaseModel(demo_model()) as base:
        shape = base.shape
    types = {tensor.name: tensor_type for tensor in quantizable_tensors(shape)}
    plan = resolve(shape, with_types(shape, "all", types))
    assert not any(planned.fell_back for planned in plan.tensors)
    assert {p.effective for p in plan.tensors if p.quantizable} == {tensor_type}


def test_a_damaged_or_missing_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="missing from this installation"):
        demo_model((tmp_path,))
    damaged = shutil.copy(demo_model(), tmp_path / DEMO_FILE)
    with Path(damaged).open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"?")
    with pytest.raises(WorkbenchError, match="is damaged"):
        demo_model((tmp_path,))


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
