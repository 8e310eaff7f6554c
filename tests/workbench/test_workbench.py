"""One open model on the bench: opening, editing, measuring, keeping; what fails leaves all as it was."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gguf_files import tiny_text, write_tiny_llama

from lqtui.measure.perplexity import paired_difference, perplexity
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.store.results import ResultStore
from lqtui.workbench import Change, Job, JobState, Settings, Workbench, WorkbenchError

QUICK = {"n_ctx": 128, "chunks": 3, "threads": 1, "repetitions": 2, "n_prompt": 16, "n_gen": 4}


@pytest.fixture
def settings(tiny_corpus: Path) -> Settings:
    return Settings(corpus=tiny_corpus, **QUICK)


@pytest.fixture
async def bench(paths: Paths, settings: Settings) -> AsyncIterator[Workbench]:
    bench = Workbench(paths, settings)
    yield bench
    await bench.close()


@pytest.fixture
async def opened(bench: Workbench, tiny_model: Path) -> Workbench:
    await bench.open(tiny_model)
    return bench


def planned(bench: Workbench, name: str) -> Plan:
    assert bench.model is not None
    return resolve(bench.model.shape, preset(name, bench.model.shape))


def measure(bench: Workbench, *names: str, **options: bool) -> Job:
    return bench.measure_plans(
        [planned(bench, name) for name in names], "measure", **{"speed": False} | options
    )


async def done(bench: Workbench, job: Job) -> Job:
    job = await bench.wait(job)
    assert job.state is JobState.DONE, job.message
    return job


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def state(bench: Workbench, job: Job) -> JobState:
    return next(known for known in bench.jobs if known.id == job.id).state


# Opening


async def test_a_model_opens_with_the_recipe_that_changes_nothing(
    opened: Workbench, tiny_model: Path
) -> None:
    assert opened.model is not None and opened.plan is not None
    assert opened.model.path == tiny_model
    assert opened.plan.unchanged and not opened.modified
    assert opened.undo_label is None and opened.redo_label is None


async def test_a_file_that_cannot_be_opened_leaves_the_open_model_as_it_was(
    opened: Workbench, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"GGUF" + bytes(100))
    model, plan = opened.model, opened.plan
    for path, sentence in (
        (junk, "junk.gguf"),
        (tmp_path, "is a directory"),
        (tmp_path / "no.gguf", "not exist"),
    ):
        with pytest.raises(WorkbenchError, match=sentence):
            await opened.open(path)
    assert opened.model is not None and model is not None
    assert opened.model.path == model.path and opened.plan is plan


async def test_another_model_takes_the_place_of_the_open_one_and_stops_its_jobs(
    opened: Workbench, tmp_path: Path
) -> None:
    job = measure(opened, "uniform_q4_0")
    other = write_tiny_llama(tmp_path / "other.gguf", blocks=2, seed=9)
    await opened.open(other)
    assert opened.model is not None and opened.model.shape.block_count == 2
    assert (await opened.wait(job)).state is JobState.CANCELLED
    assert opened.results == ()
    await done(opened, measure(opened, "uniform_q4_0"))
    assert len(opened.results) == 1


async def test_a_place_for_logs_that_cannot_be_made_is_a_sentence(
    paths: Paths, settings: Settings, tiny_model: Path
) -> None:
    bench = Workbench(paths, settings)
    paths.logs.parent.mkdir(exist_ok=True)
    paths.logs.write_text("a file in the place of the folder")
    with pytest.raises(WorkbenchError, match="cannot be a folder"):
        await bench.open(tiny_model)
    await bench.close()


# The recipe


async def test_edits_are_undone_and_redone_by_their_labels(opened: Workbench) -> None:
    assert opened.plan is not None
    before = opened.plan.digest
    opened.assign(["blk.0.ffn_up.weight"], TensorType.Q4_0, "blk.0.ffn_up Q4_0")
    middle = opened.plan.digest
    opened.assign(["blk.1.ffn_up.weight"], TensorType.Q8_0, "blk.1.ffn_up Q8_0")
    assert opened.modified and opened.undo_label == "blk.1.ffn_up Q8_0"
    assert opened.undo() == "blk.1.ffn_up Q8_0" and opened.plan.digest == middle
    assert opened.redo_label == "blk.1.ffn_up Q8_0"
    assert opened.undo() == "blk.0.ffn_up Q4_0" and opened.plan.digest == before
    assert not opened.modified and opened.undo() is None
    assert opened.redo() == "blk.0.ffn_up Q4_0" and opened.plan.digest == middle
    opened.assign(["blk.2.ffn_up.weight"], TensorType.Q8_0, "another way")
    assert opened.redo_label is None


async def test_an_edit_that_changes_nothing_is_no_edit(opened: Workbench) -> None:
    plan = opened.plan
    opened.assign(["blk.0.attn_norm.weight", "no.such.weight"], TensorType.Q4_0, "norms")
    opened.assign(["blk.0.ffn_up.weight"], TensorType.F16, "as it is")
    assert opened.plan is plan and opened.undo_label is None


async def test_a_recipe_is_used_renamed_saved_and_loaded(opened: Workbench, tmp_path: Path) -> None:
    assert opened.model is not None and opened.plan is not None
    opened.use(preset("ffn_q8", opened.model.shape), "preset ffn_q8")
    assert opened.plan.recipe.name == "ffn_q8" and not opened.modified
    opened.assign(["blk.0.attn_v.weight"], TensorType.Q6_K, "attn_v")
    assert opened.modified and opened.plan.recipe.name == "custom"
    opened.rename("mine")
    assert not opened.modified
    saved, path = opened.plan, tmp_path / "mine.toml"
    opened.save_recipe(path)
    opened.use(preset("uniform_q4_0", opened.model.shape), "preset")
    opened.load_recipe(path)
    assert opened.plan.digest == saved.digest and opened.plan.recipe.name == "mine"
    assert opened.undo_label == "open mine.toml"


@pytest.mark.parametrize(
    "text, sentence",
    [
        (b'base = "Q4_0"\ncolour = "red"', "unknown key 'colour'"),
        (b'base = "Q4_0"\n[tensors]\n"blk.9" = "Q8_0"', "blk.9"),
        (b'base = "Q4_0"\n[tensors]\n"blk.0" = "Q9_9"', "Q9_9"),
        (b"base = ", "not a TOML recipe"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (1 << 21), "too large"),
    ],
    ids=["key", "block", "type", "TOML", "binary", "huge"],
)
async def test_a_bad_recipe_file_is_a_sentence_that_names_it(
    text: bytes, sentence: str, opened: Workbench, tmp_path: Path
) -> None:
    path, plan = tmp_path / "bad.toml", opened.plan
    path.write_bytes(text)
    with pytest.raises(WorkbenchError, match=rf"bad\.toml.*{sentence}"):
        opened.load_recipe(path)
    assert opened.plan is plan


async def test_nothing_is_written_over_the_model_by_any_name(
    bench: Workbench, tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(tiny_model, tmp_path / "model.gguf"))
    content = model.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.gguf").symlink_to(model)
    await bench.open(model)
    for out in (model, tmp_path / "folder" / ".." / "model.gguf", tmp_path / "link.gguf"):
        for write in (bench.quantize, bench.save_recipe, bench.save_script):
            with pytest.raises(WorkbenchError, match="is the base model itself"):
                write(out)
    assert model.read_bytes() == content


# Measuring


async def test_a_measurement_gives_perplexity_speed_and_the_change_against_the_base(
    opened: Workbench, paths: Paths
) -> None:
    await done(opened, measure(opened, "baseline_fp16", "uniform_q4_0", speed=True))
    base, result = (opened.result(planned(opened, name)) for name in ("baseline_fp16", "uniform_q4_0"))
    assert base is not None and result is not None
    assert base.delta_percent is None and not result.partial and result.chunks == 3
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


# Jobs


async def test_jobs_run_one_at_a_time_in_the_order_in_which_they_were_asked_for(opened: Workbench) -> None:
    order: list[int] = []

    def listen(change: Change) -> None:
        running = [job.id for job in opened.jobs if job.state is JobState.RUNNING and job.kind == "measure"]
        assert len(running) <= 1
        order.extend(job for job in running if job not in order)

    opened.subscribe(listen)
    jobs = [measure(opened, name) for name in ("ffn_q8", "uniform_q4_0", "attention_q8")]
    assert [job.state for job in jobs] == [JobState.QUEUED] * 3
    for job in jobs:
        await done(opened, job)
    assert order == [job.id for job in jobs]


async def test_a_job_cancelled_before_it_began_ends_at_once_and_the_next_one_runs(opened: Workbench) -> None:
    first, second, third = (measure(opened, name) for name in ("ffn_q8", "uniform_q4_0", "attention_q8"))
    opened.cancel(first.id)  # not even its task has run
    opened.cancel(third.id)
    assert state(opened, first) is state(opened, third) is JobState.CANCELLED
    await done(opened, second)
    assert (await opened.wait(first)).state is JobState.CANCELLED
    assert len(opened.results) == 1


async def test_cancelling_the_fingerprint_does_not_leave_a_measurement_waiting(
    bench: Workbench, tiny_model: Path
) -> None:
    await bench.open(tiny_model)
    (fingerprint,) = bench.jobs
    bench.cancel(fingerprint.id)
    await done(bench, measure(bench, "ffn_q8"))


async def test_a_stopped_measurement_keeps_its_chunks_and_goes_on_after_them(
    opened: Workbench, paths: Paths, settings: Settings, tiny_model: Path
) -> None:
    opened.configure(replace(settings, n_ctx=512, chunks=40))
    for stop in (opened.cancel, lambda job_id: os.kill(opened.jobs[-1].pid or 0, 9)):
        known = opened.results[0].chunks if opened.results else 0
        job = measure(opened, "ffn_q8")
        await until(lambda known=known: bool(opened.results) and opened.results[0].chunks > known)  # type: ignore[misc]
        stop(job.id)
        ended = await opened.wait(job)
        assert ended.state is (JobState.CANCELLED if stop == opened.cancel else JobState.FAILED)
        (row,) = opened.results
        assert row.partial and known < row.chunks < 40 and row.seconds
    later = Workbench(paths, opened.settings)
    await later.open(tiny_model)
    assert later.results == (row,)
    await done(later, measure(later, "ffn_q8"))
    (whole,) = later.results
    assert not whole.partial and whole.chunks == 40 and (whole.seconds or 0) > row.seconds
    await done(later, measure(later, "ffn_q8", fresh=True))
    assert later.results[0].perplexity == whole.perplexity
    await later.close()


async def test_a_cancelled_job_that_writes_a_model_leaves_nothing(opened: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    job = opened.quantize(folder / "model.gguf")
    await until(lambda: state(opened, job) is JobState.RUNNING)
    opened.cancel(job.id)
    assert (await opened.wait(job)).state is JobState.CANCELLED
    assert not list(folder.iterdir())


async def test_a_model_is_written_in_the_background(opened: Workbench, tmp_path: Path) -> None:
    plan = planned(opened, "attention_q8")
    job = await done(opened, opened.quantize_plan(plan, tmp_path / "out.gguf"))
    assert (tmp_path / "out.gguf").stat().st_size == plan.file_bytes
    assert f"{plan.file_bytes:,} bytes" in job.message and job.fraction == 1


async def test_closing_ends_all_jobs(bench: Workbench, tiny_model: Path) -> None:
    await bench.open(tiny_model)
    jobs = [measure(bench, name) for name in ("ffn_q8", "uniform_q4_0")]
    await bench.close()
    assert all(state(bench, job) is JobState.CANCELLED for job in jobs)


async def test_a_defect_of_ours_fails_one_job_and_is_in_its_log(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("lqtui.workbench.measuring.ResultBook.recall", lambda *_: 1 / 0)
        job = await opened.wait(measure(opened, "ffn_q8"))
    assert (
        job.state is JobState.FAILED and job.crashed and "defect in lqtui (ZeroDivisionError" in job.message
    )
    assert "Traceback" in opened.log_tail(job.id)
    await done(opened, measure(opened, "ffn_q8"))


async def test_listeners_hear_of_progress_at_most_20_times_a_second_and_of_every_state(
    opened: Workbench, settings: Settings
) -> None:
    heard: list[tuple[float, tuple[JobState, ...]]] = []

    def listen(change: Change) -> None:
        if change is Change.JOBS:
            heard.append((time.monotonic(), tuple(job.state for job in opened.jobs)))

    opened.configure(replace(settings, n_ctx=16, chunks=400))
    stop = opened.subscribe(listen)
    began = time.monotonic()
    await done(opened, measure(opened, "ffn_q8"))
    took = time.monotonic() - began
    states = [states for _, states in heard]
    changes = sum(a != b for a, b in pairwise(states))
    assert len(heard) <= 20 * took + changes + 2
    assert states[-1][-1] is JobState.DONE
    stop()
    told = len(heard)
    await done(opened, measure(opened, "uniform_q4_0"))
    assert len(heard) == told
