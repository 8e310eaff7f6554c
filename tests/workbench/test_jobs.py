"""Jobs: their order, how they are stopped, what they keep, and what is told of them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from lqtui.store.paths import Paths
from lqtui.workbench import Change, JobState, Settings, Workbench
from lqtui.workbench.job_queue import JobQueue
from lqtui.workbench.jobs import RunningJob, new_log
from lqtui.worker.client import EngineDied
from lqtui.worker.messages import Progress
from tests.workbench.bench_jobs import done, measure, planned, state, until

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
    assert {row.name for row in opened.results} == {"base", "uniform_q4_0"}


async def test_cancelling_the_fingerprint_does_not_leave_a_measurement_waiting(
    bench: Workbench, demo_model: Path
) -> None:
    await bench.open(demo_model)
    (fingerprint,) = bench.jobs
    bench.cancel(fingerprint.id)
    await done(bench, measure(bench, "ffn_q8"))


async def test_a_killed_fingerprint_is_a_failure_and_no_bad_input_to_the_measurement_that_waits_for_it(
    bench: Workbench, demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def died(*_: object) -> None:
        raise EngineDied("the engine's process was ended by SIGKILL")

    monkeypatch.setattr("lqtui.workbench.running.run_task", died)
    await bench.open(demo_model)
    job = await bench.wait(measure(bench, "ffn_q8"))
    assert job.state is JobState.FAILED and "no fingerprint" in job.message and job.crashed


async def test_a_stopped_measurement_keeps_its_chunks_and_goes_on_after_them(
    opened: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    opened.configure(replace(settings, chunks=40, divergence=False))
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
    await later.open(demo_model)
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
    assert f"{plan.file_bytes:,} bytes" in job.message and job.stage_fraction == 1


async def test_closing_ends_all_jobs(bench: Workbench, demo_model: Path) -> None:
    await bench.open(demo_model)
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
    bench: Workbench, settings: Settings, tiny_model: Path
) -> None:
    await bench.open(tiny_model)  # which scores a chunk in a millisecond
    heard: list[tuple[float, tuple[JobState, ...]]] = []

    def listen(change: Change) -> None:
        if change is Change.JOBS:
            heard.append((time.monotonic(), tuple(job.state for job in bench.jobs)))

    bench.configure(replace(settings, n_ctx=16, chunks=200, divergence=False))
    stop = bench.subscribe(listen)
    began = time.monotonic()
    await done(bench, measure(bench, "ffn_q8"))
    took = time.monotonic() - began
    states = [states for _, states in heard]
    changes = sum(a != b for a, b in pairwise(states))
    assert len(heard) <= 20 * took + changes + 2
    assert states[-1][-1] is JobState.DONE
    stop()
    told = len(heard)
    await done(bench, measure(bench, "uniform_q4_0"))
    assert len(heard) == told


def test_no_two_logs_have_one_name_though_they_are_of_one_second(tmp_path: Path) -> None:
    names = {new_log(tmp_path, "memory") for _ in range(5)}
    assert len(names) == 5


# How far it is, and how long it still takes


async def test_recipes_are_scored_together_and_then_timed_one_by_one(opened: Workbench) -> None:
    told: list[tuple[int, str]] = []

    def listen(change: Change) -> None:
        job = opened.jobs[-1]
        if change is Change.JOBS and job.stage and job.state is JobState.RUNNING:
            told.append((job.stage_number, job.stage))

    await opened.wait(opened.jobs[0])  # the fingerprint
    opened.subscribe(listen)
    job = await done(opened, measure(opened, "uniform_q4_0", "attention_q8", speed=True))
    timing = ("loading", "prompt speed", "generation speed")
    stages = ("waiting", "quantizing", "loading", "scoring", *timing, *timing)
    assert job.stage_count == len(stages) and (job.stage_number, job.stage) == (9, "generation speed")
    assert told == sorted(told, key=lambda stage: stage[0])
    assert all(stage in (stages[number], "waiting", "quantizing") for number, stage in told)


async def test_the_time_left_is_told_by_the_pace_of_the_stage_though_others_come_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, strftime=time.strftime, now=100.0)
    for module in ("jobs", "job_queue"):
        monkeypatch.setattr(f"lqtui.workbench.{module}.time", clock)
    told: list[tuple[str, float | None]] = []

    async def work(running: RunningJob) -> str:
        for seconds, stage, so_far, total in (
            (0, "quantizing", 0, 10),
            (5, "quantizing", 5, 10),
            (5, "scoring", 0, 100),
            (10, "scoring", 20, 100),
            (5, "quantizing", 0, 10),  # another group of recipes
            (1, "quantizing", 5, 10),
            (4, "scoring", 20, 100),
            (10, "scoring", 40, 100),
            (1, "scoring", 41, 50),  # it turns out to be less
        ):
            clock.now += seconds
            running.progress(Progress(stage, so_far, total, "chunks"))
            told.append((stage, queue.job(1).eta))
        return ""

    queue = JobQueue(tmp_path, lambda: None)
    await queue.wait(queue.add("measure", "measure", work).id)
    assert told == [
        ("quantizing", None),
        ("quantizing", 5),
        ("scoring", None),
        ("scoring", 40),
        ("quantizing", None),
        ("quantizing", 1),
        ("scoring", 80),
        ("scoring", 45),
        ("scoring", pytest.approx(31 * 9 / 41)),
    ]
