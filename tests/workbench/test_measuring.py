"""What is measured, kept, and answered from the store; and what notices that a file has changed."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf_files import tiny_text, write_tiny_llama

from lqtui.measure.perplexity import paired_difference, perplexity
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.store.results import ResultStore
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from tests.workbench.bench_jobs import done, measure, planned

# Measuring


async def test_a_measurement_gives_perplexity_speed_and_the_change_against_the_base(
    opened: Workbench, paths: Paths
) -> None:
    await done(opened, measure(opened, "baseline_fp16", "uniform_q4_0", speed=True))
    base, result = (opened.result(planned(opened, name)) for name in ("baseline_fp16", "uniform_q4_0"))
    assert base is not None and result is not None
    assert base.delta_percent == 0 and not result.partial and result.chunks == 3
    assert result.prompt is not None and result.prompt.repetitions == 2 and result.generation is not None
    with ResultStore(paths.results_db) as store:
        assert opened.model is not None and opened.model.digest is not None
        kept = {m.key.tensors_digest: m for m in store.measurements_for(opened.model.digest)}
    rows = kept[result.digest].token_nll
    assert (result.perplexity, result.perplexity_se) == perplexity(rows)[:2]
    difference = paired_difference(rows, kept[base.digest].token_nll)
    assert result.delta_percent == pytest.approx(100 * (math.exp(difference.mean) - 1))
    assert result.delta_percent_se == pytest.approx(100 * math.exp(difference.mean) * difference.se)


async def test_the_base_measured_later_still_gives_every_row_its_change(opened: Workbench) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    assert opened.results[0].delta_percent is None
    await done(opened, measure(opened, "baseline_fp16"))
    assert opened.results[0].delta_percent is not None


async def test_a_change_is_over_all_chunks_of_the_row_or_not_told(
    opened: Workbench, settings: Settings
) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.configure(replace(settings, chunks=1))
    await done(opened, measure(opened, "baseline_fp16"))
    opened.configure(settings)
    row, base = (opened.result(planned(opened, name)) for name in ("uniform_q4_0", "baseline_fp16"))
    assert row is not None and base is not None and (row.chunks, base.chunks) == (3, 1)
    assert row.delta_percent is None and row.delta_percent_se is None


async def test_recipes_that_come_to_the_same_weights_are_measured_once(opened: Workbench) -> None:
    names = ("first_4_layers_q8", "last_4_layers_q8", "first_8_layers_q8")  # all four blocks
    await done(opened, measure(opened, *names))
    (row,) = opened.results
    assert row.chunks == 3


async def test_what_the_store_knows_is_answered_without_a_child_and_survives_a_restart(
    opened: Workbench, paths: Paths, settings: Settings, tiny_model: Path
) -> None:
    await done(opened, measure(opened, "baseline_fp16", "ffn_q8", speed=True))
    results = opened.results
    again = await done(opened, measure(opened, "baseline_fp16", "ffn_q8", speed=True))
    assert not again.log.exists() and opened.results == results
    await opened.close()

    later = Workbench(paths, settings)
    await later.open(tiny_model)
    assert {r.digest: r for r in later.results} == {r.digest: r for r in results}
    assert [job.kind for job in later.jobs] == []  # the file is unchanged: not even a fingerprint
    anew = await done(later, measure(later, "ffn_q8", fresh=True))
    assert anew.log.exists()
    assert later.result(planned(later, "ffn_q8")).perplexity == results[1].perplexity  # type: ignore[union-attr]
    await later.close()


async def test_other_settings_have_other_results_and_the_old_ones_come_back(
    opened: Workbench, settings: Settings
) -> None:
    await done(opened, measure(opened, "ffn_q8"))
    old = opened.results
    opened.configure(replace(settings, n_ctx=64))
    assert opened.results == ()
    await done(opened, measure(opened, "ffn_q8"))
    assert opened.results[0].perplexity != old[0].perplexity
    opened.configure(settings)
    assert opened.results == old


async def test_fewer_chunks_are_answered_from_more_only_if_they_were_measured(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, chunks=5))
    await done(opened, measure(opened, "ffn_q8"))
    whole = opened.results[0]
    opened.configure(replace(settings, chunks=6))
    (row,) = opened.results
    assert row.partial and row.chunks == 5 and row.perplexity == whole.perplexity
    await done(opened, measure(opened, "ffn_q8"))  # scores the sixth chunk alone
    (row,) = opened.results
    assert not row.partial and row.chunks == 6
    anew = await done(opened, measure(opened, "ffn_q8", fresh=True))
    assert opened.results[0].perplexity == row.perplexity and anew.log.exists()


async def test_a_text_shorter_than_the_chunks_asked_for_is_measured_whole_and_once(
    opened: Workbench, settings: Settings, tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text(tiny_text(200))
    opened.configure(replace(settings, corpus=short, chunks=1000))
    await done(opened, measure(opened, "ffn_q8"))
    (row,) = opened.results
    assert 2 <= row.chunks < 1000 and not row.partial
    again = await done(opened, measure(opened, "ffn_q8"))
    assert not again.log.exists() and opened.results == (row,)


async def test_a_corpus_that_cannot_be_read_is_refused_and_the_old_one_stays(
    opened: Workbench, settings: Settings, tmp_path: Path
) -> None:
    for corpus in (tmp_path / "none.txt", tmp_path, Path("/dev/zero")):
        with pytest.raises(WorkbenchError, match="corpus"):
            opened.configure(replace(settings, corpus=corpus))
    assert opened.settings == settings


async def test_a_model_opens_even_while_its_corpus_is_gone_and_measuring_says_so(
    paths: Paths, settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time its fingerprint is known
        bench = Workbench(paths, replace(settings, corpus=tmp_path / "gone.txt"))
        await bench.open(tiny_model)
        job = await bench.wait(measure(bench, "ffn_q8"))
        assert job.state is JobState.FAILED and "gone.txt cannot be read" in job.message
        await bench.close()


async def test_a_corpus_that_changes_between_jobs_has_results_of_its_own(
    opened: Workbench, settings: Settings, tmp_path: Path
) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text(tiny_text(1000, seed=5))
    opened.configure(replace(settings, corpus=corpus))
    await done(opened, measure(opened, "ffn_q8"))
    old = opened.results[0].perplexity
    corpus.write_text(tiny_text(1000, seed=6))
    await done(opened, measure(opened, "ffn_q8"))
    assert opened.results[0].perplexity != old


async def test_a_model_file_replaced_between_jobs_is_noticed(
    bench: Workbench, tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(tiny_model, tmp_path / "model.gguf"))
    await bench.open(model)
    await done(bench, measure(bench, "ffn_q8"))
    old = bench.results[0].perplexity
    write_tiny_llama(tmp_path / "new.gguf", seed=7).replace(model)
    for job in (measure(bench, "uniform_q4_0"), bench.quantize(tmp_path / "out.gguf")):
        ended = await bench.wait(job)
        assert ended.state is JobState.FAILED and "has changed since it was opened" in ended.message
    await bench.open(model)
    assert bench.results == ()
    await done(bench, measure(bench, "ffn_q8"))
    assert bench.results[0].perplexity != old
    model.unlink()
    ended = await bench.wait(measure(bench, "uniform_q4_0"))
    assert ended.state is JobState.FAILED and "is gone" in ended.message and not ended.crashed


async def test_each_part_of_a_split_model_counts(bench: Workbench, tmp_path: Path) -> None:
    first = write_tiny_llama(tmp_path / "model.gguf", tensors_per_part=10)
    second = next(part for part in sorted(tmp_path.glob("model-*.gguf")) if part != first)
    await bench.open(first)
    await done(bench, measure(bench, "ffn_q8"))
    with pytest.raises(WorkbenchError, match="is the base model itself"):
        bench.quantize(second)
    shutil.copy(second, tmp_path / "copy")
    (tmp_path / "copy").replace(second)
    job = await bench.wait(measure(bench, "uniform_q4_0"))
    assert "has changed since it was opened" in job.message
    await bench.open(first)
    assert [job.kind for job in bench.jobs].count("fingerprint") == 2


async def test_a_broken_model_gives_a_result_that_says_so(bench: Workbench, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "broken.gguf")
    raw = model.read_bytes()
    ones = np.ones(64, np.float32).tobytes()
    assert ones in raw
    model.write_bytes(raw.replace(ones, np.full(64, 3e38, np.float32).tobytes(), 1))
    await bench.open(model)
    job = await done(bench, measure(bench, "baseline_fp16", "uniform_q4_0"))
    assert "not a number" in job.message
    assert all(row.broken and not row.partial and math.isnan(row.perplexity or 0) for row in bench.results)
    assert "not a number" in bench.script_for(planned(bench, "uniform_q4_0"))


async def test_a_type_without_its_importance_matrix_is_refused(opened: Workbench, tmp_path: Path) -> None:
    opened.assign(["blk.0.ffn_up.weight"], TensorType.IQ2_XS, "too low")
    assert opened.plan is not None
    if opened.plan.missing_imatrix:  # else the shape fell back
        with pytest.raises(WorkbenchError, match="importance matrix"):
            opened.measure()


async def test_the_base_is_measured_behind_the_first_recipe_because_changes_are_told_against_it(
    opened: Workbench,
) -> None:
    opened.use(planned(opened, "uniform_q4_0").recipe, "preset")
    first = opened.measure()
    assert [job.title for job in opened.jobs if job.kind == "measure"] == [first.title, "measure base"]
    for job in opened.jobs:
        await opened.wait(job)
    assert {row.name: row.delta_percent is not None for row in opened.results} == {
        "uniform_q4_0": True,
        "base": True,
    }
    opened.measure()
    assert sum(job.title == "measure base" for job in opened.jobs) == 1


async def test_a_recipe_edited_after_its_measurement_gets_a_name_of_its_own(opened: Workbench) -> None:
    opened.assign(["blk.0.attn_q.weight"], TensorType.Q8_0, "one")
    await done(opened, opened.measure())
    opened.assign(["blk.1.attn_q.weight"], TensorType.Q8_0, "two")
    assert opened.plan is not None and opened.plan.recipe.name == "custom-2"
    opened.undo()
    opened.rename("mine")
    assert [row.name for row in opened.results if row.digest == opened.plan.digest] == ["mine"]


async def test_more_chunks_measured_earlier_answer_for_fewer(opened: Workbench) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.configure(replace(opened.settings, chunks=2))
    job = await done(opened, measure(opened, "uniform_q4_0"))
    result = opened.result(planned(opened, "uniform_q4_0"))
    assert result is not None and (result.chunks, result.partial) == (2, False)
    assert not job.log.exists()  # nothing was asked of the engine
