"""The types table: every type is in it, measured or with the reason why it is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.workbench import Workbench, WorkbenchError
from lqtui.workbench.type_table import TABLE_TYPES
from tests.workbench.bench_jobs import done

QUICK_TYPES = (FileType.F16, FileType.Q8_0, FileType.Q4_K_M, FileType.Q2_K)


async def test_each_type_is_measured_and_smaller_types_lose_more(opened: Workbench) -> None:
    job = await done(opened, opened.measure_types(QUICK_TYPES, speed=False))
    assert job.message == "4 recipes measured" and not job.notice
    rows = opened.table_rows(QUICK_TYPES)
    results = [opened.result(row.plan) for row in rows if row.plan]
    klds = [result.kld for result in results if result and result.kld is not None]
    assert len(klds) == 4 and klds == sorted(klds) and klds[0] == 0 < klds[1]
    ratios = [row.compression for row in rows]
    assert ratios == sorted(ratios) and ratios[0] == pytest.approx(1, abs=0.001)
    assert {row.name for row in opened.results} == {"F16", "Q8_0", "Q4_K_M", "Q2_K"}


async def test_types_that_need_an_importance_matrix_stay_in_the_table_with_that_reason(
    opened: Workbench,
) -> None:
    rows = {row.file_type: row for row in opened.table_rows()}
    assert tuple(rows) == TABLE_TYPES
    lacking = {each for each, row in rows.items() if row.reason}
    assert lacking == {FileType.IQ1_M, FileType.IQ1_S}
    for each in lacking:
        assert "needs an importance matrix" in rows[each].reason and rows[each].compression
    job = opened.measure_types((FileType.Q8_0, FileType.IQ1_S), speed=False)
    assert "IQ1_S: it needs an importance matrix" in (await done(opened, job)).notice


def matrix_of(shape: ModelShape) -> Imatrix:
    sizes = {tensor.name: tensor.columns for tensor in quantizable_tensors(shape)}
    return Imatrix("matrix.gguf", "0" * 64, sizes)


async def test_with_an_importance_matrix_nothing_is_lacking(opened: Workbench) -> None:
    assert opened.model is not None
    rows = opened.table_rows(imatrix=matrix_of(opened.model.shape))
    assert [row.file_type for row in rows if row.plan and not row.reason] == list(TABLE_TYPES)
    assert all(row.plan.recipe.imatrix for row in rows if row.plan)


async def test_a_type_without_a_fallback_for_the_models_rows_says_so(
    bench: Workbench, tmp_path: Path
) -> None:
    await bench.open(write_tiny_llama(tmp_path / "narrow.gguf"), fingerprint=False)
    (row,) = bench.table_rows([FileType.Q1_0])
    assert row.plan is None and row.compression is None and "rows of 64" in row.reason


async def test_where_no_type_can_be_measured_the_table_is_refused(opened: Workbench) -> None:
    with pytest.raises(WorkbenchError, match="IQ1_M: it needs an importance matrix"):
        opened.measure_types((FileType.IQ1_M, FileType.IQ1_S))
    assert not [job for job in opened.jobs if job.kind == "measure"]


async def test_another_models_importance_matrix_is_the_reason_of_every_type(opened: Workbench) -> None:
    assert opened.model is not None
    other = msgspec.structs.replace(matrix_of(opened.model.shape), sizes={"blk.0.attn_q.weight": 3})
    assert all("another model" in row.reason for row in opened.table_rows(imatrix=other))
