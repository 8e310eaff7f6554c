"""Scripts that quantize by an importance matrix: it is checked, and given to llama-quantize by its name."""

from __future__ import annotations

import filecmp
import os
import subprocess
from pathlib import Path

import pytest
from imatrices import random_imatrix
from stock_quantize import StockQuantizer

from lqtui.export.script import export_script
from lqtui.export.script_reader import script_imatrix
from lqtui.llama.gguf import BaseModel
from lqtui.llama.quantize import write_model
from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.imatrix_file import open_imatrix
from tests.export.test_script import HOSTILE, names, run, tool_arguments, work

__all__ = ["work"]


def plan_by(shape: ModelShape, path: Path, base: FileType = FileType.Q4_0) -> Plan:
    overrides = {"blk.3.ffn_down.weight": TensorType.Q6_K, "blk.0.attn_v.weight": TensorType.Q8_0}
    return resolve(shape, Recipe("by matrix", base, overrides, imatrix=open_imatrix(path).describe()))


@pytest.fixture
def matrix(tmp_path: Path, demo_shape: ModelShape) -> Path:
    return random_imatrix(tmp_path / "m.imatrix.gguf", demo_shape)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "Q4_0"])
def test_any_file_name_of_the_matrix_arrives_as_it_is(
    name: str, demo_shape: ModelShape, tmp_path: Path, work: Path
) -> None:
    folder = tmp_path / "matrices here"
    folder.mkdir()
    plan = plan_by(demo_shape, random_imatrix(folder / name, demo_shape))
    (work / "m.gguf").write_text("weights")
    done = run(export_script(plan, "m.gguf"), work, STAND_IN_BYTES=str(plan.file_bytes))
    assert done.returncode == 0, done.stderr
    arguments = tool_arguments(work)
    assert arguments[arguments.index("--imatrix") + 1] == name
    assert arguments[-3] == f"{work}/./m.gguf"
    assert names(work) == {"m.gguf", "m-by-matrix.gguf"}


def test_a_matrix_given_by_another_name_is_passed_by_its_own(
    matrix: Path, demo_shape: ModelShape, work: Path
) -> None:
    plan = plan_by(demo_shape, matrix)
    matrix.rename(work / "renamed")
    (work / "m.gguf").write_text("weights")
    script = export_script(plan, "m.gguf")
    done = run(script, work, "m.gguf", "out.gguf", "renamed", STAND_IN_BYTES=str(plan.file_bytes))
    assert done.returncode == 0, done.stderr
    assert "m.imatrix.gguf" in tool_arguments(work) and "renamed" not in tool_arguments(work)


@pytest.mark.parametrize("tools", ["sha256sum", "shasum", "neither"])
def test_the_digest_is_checked_with_what_is_there(
    tools: str, matrix: Path, demo_shape: ModelShape, tmp_path: Path, work: Path
) -> None:
    plan = plan_by(demo_shape, matrix)
    (work / "m.gguf").write_text("weights")
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "head", "dirname", "rm", "mktemp", "ln", "wc", "mv", "sha256sum"):
        if tool != "sha256sum" or tools == "sha256sum":
            (folder / tool).symlink_to(_which(tool))
    if tools == "shasum":
        (folder / "shasum").write_text(f'#!/bin/sh\n[ "$*" = "-a 256" ] && exec {_which("sha256sum")}\n')
        (folder / "shasum").chmod(0o755)
    script, variables = export_script(plan, "m.gguf"), {"PATH": str(folder)}
    good = run(script, work, STAND_IN_BYTES=str(plan.file_bytes), **variables)
    assert (good.returncode == 0) == (tools != "neither"), good.stderr
    assert ("Neither sha256sum nor shasum was found" in good.stderr) == (tools == "neither")
    if tools != "neither":
        (work / "m-by-matrix.gguf").unlink()
        random_imatrix(matrix, demo_shape, seed=2)
        bad = run(script, work, STAND_IN_BYTES=str(plan.file_bytes), **variables)
        assert bad.returncode == 1
        assert "is not the importance matrix of this recipe: its SHA-256 is" in bad.stderr
    assert names(work) == {"m.gguf"}


def _which(tool: str) -> str:
    return next(f"{folder}/{tool}" for folder in ("/usr/bin", "/bin") if Path(folder, tool).exists())


def test_a_matrix_that_is_gone_is_told_and_nothing_is_left(
    matrix: Path, demo_shape: ModelShape, work: Path
) -> None:
    plan = plan_by(demo_shape, matrix)
    matrix.unlink()
    (work / "m.gguf").write_text("weights")
    done = run(export_script(plan, "m.gguf"), work)
    assert done.returncode == 1
    assert (
        f"The importance matrix {matrix} does not exist: give its path as the third argument." in done.stderr
    )
    assert names(work) == {"m.gguf"}


def test_nothing_is_left_in_the_systems_temporary_folder(
    matrix: Path, demo_shape: ModelShape, tmp_path: Path, work: Path
) -> None:
    plan = plan_by(demo_shape, matrix)
    (work / "m.gguf").write_text("weights")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for code in ("0", "3"):
        variables = {"STAND_IN_BYTES": str(plan.file_bytes), "STAND_IN_EXIT": code, "TMPDIR": str(temporary)}
        done = run(export_script(plan, "m.gguf"), work, **variables)
        assert (done.returncode == 0) == (code == "0")
        assert list(temporary.iterdir()) == []


def test_a_script_is_read_back_with_its_matrix(matrix: Path, demo_shape: ModelShape) -> None:
    plan = plan_by(demo_shape, matrix)
    assert plan.imatrix is not None
    assert script_imatrix(export_script(plan, "m.gguf")) == (str(matrix), plan.imatrix.sha256)
    without = resolve(demo_shape, Recipe("r", FileType.Q8_0, imatrix=plan.imatrix))
    assert script_imatrix(export_script(without, "m.gguf")) is None


@pytest.mark.reference
@pytest.mark.parametrize("base", [FileType.Q4_0, FileType.IQ3_XXS, FileType.Q4_K_M])
def test_the_script_makes_our_file_bit_for_bit(
    base: FileType,
    matrix: Path,
    demo_model: Path,
    demo_shape: ModelShape,
    llama_tools: Path,
    stock: StockQuantizer,
    tmp_path: Path,
) -> None:
    plan = plan_by(demo_shape, matrix, base)
    ours, theirs, script = tmp_path / "ours.gguf", tmp_path / "theirs.gguf", tmp_path / "recipe.sh"
    with BaseModel(demo_model) as model:
        number = plan.file_type.number
        write_model(model, plan.encodings, number, ours, None, 2, lambda done, total: None, plan.imatrix)
    script.write_text(export_script(plan, demo_model.name))
    environment = {**os.environ, "LLAMA_QUANTIZE": str(llama_tools / "llama-quantize")}
    command = ["bash", str(script), str(demo_model), str(theirs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-1000:]
    assert filecmp.cmp(ours, theirs, shallow=False)
