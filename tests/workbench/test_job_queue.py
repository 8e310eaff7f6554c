"""The queue: its order and how that changes, pauses that lose nothing, and jobs that are done again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.file_types import FileType
from lqtui.recipe.recipe import Recipe
from lqtui.workbench import Job, JobState, Settings, Workbench, WorkbenchError
from lqtui.workbench.job_queue import JobQueue
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.values import DOWNLOAD
from lqtui.worker.messages import Progress
from tests.workbench.bench_jobs import done, measure, row, state, until


class Steps:
    """Jobs of some steps each; a step is done when the test says so, and is kept as soon as it is told of."""

    def __init__(self, folder: Path) -> None:
        self.queue = JobQueue(folder, lambda: None)
        self.log: list[str] = []
        self.kept: dict[str, int] = {}
        self.may = asyncio.Semaphore(0)

    def add(self, name: str, stage: str = "scoring", kind: str = "measure", *, fails: bool = False) -> int:
        async def work(running: RunningJob) -> str:
            if fails and name not in self.kept:
                self.kept[name] = 0
                raise WorkbenchError("no luck")
            for step in range(self.kept.get(name, 0), 3):
                await self.may.acquire()
                self.log.append(f"{name}{step}")
                self.kept[name] = step + 1
                running.progress(Progress(stage, step + 1, 3, "chunks"))
                await asyncio.sleep(0)
            return f"{name} done"

        return self.queue.add(kind, name, work).id

    def let(self, steps: int = 99) -> None:
        """Let so many steps more be done."""
        for _ in range(steps):
            self.may.release()

    def states(self) -> str:
        return " ".join(f"{job.title}:{job.state}" for job in self.queue.jobs)


@pytest.fixture
async def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


async def test_jobs_that_ended_long_ago_are_forgotten_and_none_that_has_not(steps: Steps) -> None:
    first = steps.add("first")
    steps.queue.pause(first)
    steps.let(3 * 150)
    for number in range(150):
        await steps.queue.wait(steps.add(f"j{number}"))
    kept = steps.queue.jobs
    assert [kept[0].id, kept[0].state] == [first, JobState.PAUSED]
    assert [job.title for job in kept[1:]] == [f"j{number}" for number in range(49, 150)]
    assert not steps.queue.knows(2) and not steps.queue.is_active(2)
    steps.queue.resume(first)
    steps.let(3)
    assert (await steps.queue.wait(first)).state is JobState.DONE


async def test_a_download_is_told_of_however_long_ago_it_ended(steps: Steps) -> None:
    steps.let()
    model = steps.add("model", kind=DOWNLOAD)
    await steps.queue.wait(model)
    for number in range(120):
        steps.let(3)
        await steps.queue.wait(steps.add(f"j{number}"))
    assert steps.queue.job(model).state is JobState.DONE


async def test_what_is_noted_of_jobs_goes_with_them(opened: Workbench) -> None:
    for name in ("uniform_q4_0", "attention_q8"):
        await done(opened, measure(opened, name))
    for _ in range(110):
        await done(opened, measure(opened, "uniform_q4_0"))
    assert len(opened._asked) <= 101 and len(opened._asked_on) <= 101
    assert len(opened.jobs) <= 101


async def test_a_job_that_waits_changes_places_with_its_neighbours_and_none_with_the_one_that_runs(
    steps: Steps,
) -> None:
    running, first, second, third = (steps.add(name) for name in "abcd")
    await asyncio.sleep(0)
    assert [job.place for job in steps.queue.jobs] == [0, 1, 2, 3]
    assert steps.queue.move(third, -1) and steps.queue.move(third, -1)
    assert not steps.queue.move(third, -1) and not steps.queue.move(second, 1)
    assert not steps.queue.move(running, 1)
    assert [steps.queue.job(job).place for job in (third, first, second)] == [1, 2, 3]
    steps.let()
    await steps.queue.wait(second)
    assert "".join(entry[0] for entry in steps.log) == "aaadddbbbccc"


async def test_a_paused_job_gives_its_turn_to_the_next_and_goes_on_where_it_was(steps: Steps) -> None:
    one, two = steps.add("a"), steps.add("b")
    await asyncio.sleep(0)
    steps.let(1)
    await until(lambda: steps.log == ["a0"])
    steps.queue.pause(one)
    steps.let()
    await steps.queue.wait(two)
    assert steps.states() == "a:paused b:done"
    steps.queue.resume(one)
    assert (await steps.queue.wait(one)).message == "a done"
    assert steps.log == ["a0", "a1", "b0", "b1", "b2", "a2"]  # the step at hand is done, and none twice


async def test_what_goes_on_comes_before_what_waits_and_what_waits_can_be_paused_too(steps: Steps) -> None:
    first, second, third = (steps.add(name) for name in "abc")
    await asyncio.sleep(0)
    steps.queue.pause(third)
    assert steps.states() == "a:running b:queued c:paused"
    steps.queue.resume(third)
    assert [steps.queue.job(job).place for job in (third, second)] == [1, 2]
    steps.let()
    await steps.queue.wait(second)
    assert "".join(entry[0] for entry in steps.log) == "aaacccbbb"
    assert steps.queue.job(first).state is JobState.DONE


async def test_a_pause_can_be_taken_back_before_it_begins_and_a_paused_job_cancelled(steps: Steps) -> None:
    one, two = steps.add("a"), steps.add("b")
    steps.let(1)
    await until(lambda: steps.log == ["a0"])
    steps.queue.pause(one)
    assert steps.queue.job(one).pausing
    steps.queue.resume(one)
    steps.let(3)
    assert (await steps.queue.wait(one)).state is JobState.DONE
    await until(lambda: steps.queue.job(two).done == 1)
    steps.queue.pause(two)
    steps.let(1)
    await until(lambda: steps.queue.job(two).state is JobState.PAUSED)
    steps.queue.cancel(two)
    assert (await steps.queue.wait(two)).state is JobState.CANCELLED


async def test_a_pause_taken_back_while_the_process_ends_begins_it_anew(tmp_path: Path) -> None:
    queue, begun, ends = JobQueue(tmp_path, lambda: None), [0], asyncio.Event()

    async def work(running: RunningJob) -> str:
        begun[0] += 1
        running.progress(Progress("loading", 0, 1, "tensors"))
        if begun[0] == 1:
            try:
                await asyncio.sleep(60)
            finally:
                await ends.wait()  # as a process does that has yet to remove what it has half-written
        return "done after all"

    job = queue.add("measure", "a", work).id
    await until(lambda: begun == [1])
    queue.pause(job)
    await asyncio.sleep(0)
    queue.resume(job)
    ends.set()
    assert (await queue.wait(job)).state is JobState.DONE and begun == [2]


async def test_a_job_that_was_just_given_its_turn_can_be_paused(steps: Steps) -> None:
    one, two = steps.add("a"), steps.add("b")  # the task of the first has not run yet
    steps.queue.pause(one)
    steps.let()
    await steps.queue.wait(two)
    assert steps.states() == "a:paused b:done"
    steps.queue.resume(one)
    assert (await steps.queue.wait(one)).message == "a done"


async def test_a_job_done_again_is_not_ended_by_what_is_left_of_its_first_time(tmp_path: Path) -> None:
    queue, begun, ends = JobQueue(tmp_path, lambda: None), [0], asyncio.Event()

    async def work(running: RunningJob) -> str:
        begun[0] += 1
        if begun[0] == 1:
            running.started(process.pid)
            running.progress(Progress("writing", 1, 2, "tensors"))
            try:
                await asyncio.sleep(60)
            finally:
                await ends.wait()
        await asyncio.sleep(0.05)
        return "done again"

    process = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("lqtui.workbench.job_queue.rest", lambda pid: True)
            job = queue.add("quantize", "a", work).id
            await until(lambda: begun == [1])
            queue.pause(job)
        assert queue.job(job).state is JobState.PAUSED
        queue.cancel(job)
        queue.retry(job)
        await until(lambda: begun == [2])
        ends.set()
        assert (await queue.wait(job)).message == "done again"
    finally:
        process.kill()
        await process.wait()


async def test_what_cannot_be_paused_is_said_in_a_sentence(steps: Steps) -> None:
    chat = steps.add("hello", kind="chat")
    with pytest.raises(WorkbenchError, match="a chat cannot be paused"):
        steps.queue.pause(chat)


async def test_a_failed_or_cancelled_job_is_done_again_on_its_own_line(steps: Steps) -> None:
    steps.let()
    failed, cancelled = steps.add("a", fails=True), steps.add("b")
    steps.queue.cancel(cancelled)
    assert (await steps.queue.wait(failed)).message == "no luck"
    for job in (failed, cancelled):
        steps.queue.retry(job)
        assert (await steps.queue.wait(job)).state is JobState.DONE
    assert len(steps.queue.jobs) == 2
    steps.queue.retry(failed)  # which is done
    assert steps.states() == "a:done b:done"


async def test_a_shelved_job_waits_for_nobody_until_it_is_retried(steps: Steps) -> None:
    async def work(running: RunningJob) -> str:
        return "done after all"

    steps.let()
    job = steps.queue.add("measure", "old", work, shelved="not finished last time")
    assert job.state is JobState.CANCELLED and job.message == "not finished last time"
    assert (await steps.queue.wait(job.id)).state is JobState.CANCELLED
    steps.queue.retry(job.id)
    assert (await steps.queue.wait(job.id)).message == "done after all"


# With the real engine


async def test_a_measurement_paused_in_its_midst_repeats_no_chunk(
    opened: Workbench, settings: Settings
) -> None:
    await opened.wait(opened.jobs[0])  # the fingerprint
    opened.configure(replace(settings, chunks=12, divergence=False))
    job = measure(opened, "ffn_q8")
    await until(lambda: bool(opened.results) and opened.results[0].chunks > 2)
    opened.pause(job.id)
    pid = next(each.pid for each in opened.jobs if each.id == job.id)
    await until(lambda: state(opened, job) is JobState.PAUSED)
    paused = row(opened, "ffn_q8")
    assert paused.partial and not psutil.pid_exists(pid or -1)
    other = await done(opened, opened.measure_plans([opened.plan], "base", speed=False))
    assert other.state is JobState.DONE
    scored: list[int] = []
    opened.subscribe(lambda _: scored.append(row(opened, "ffn_q8").chunks))
    opened.resume(job.id)
    await done(opened, job)
    assert scored[0] == paused.chunks and scored == sorted(scored) and scored[-1] == 12


@pytest.fixture
async def long_write(bench: Workbench, tmp_path: Path) -> Workbench:
    """A workbench whose recipe takes seconds to write, and not a moment as those of the demo do."""
    model = write_tiny_llama(tmp_path / "model.gguf", blocks=8, width=256, ffn=1024)
    await bench.open(model, fingerprint=False)
    bench.use(Recipe("slow", FileType("IQ3_S")), "slow")
    return bench


async def test_a_file_that_is_written_rests_in_its_midst_and_is_whole_in_the_end(
    long_write: Workbench, tmp_path: Path
) -> None:
    opened, out = long_write, tmp_path / "out.gguf"
    job = opened.quantize_plan(opened.plan, out)
    seen: list[int] = []

    def pause_at_once(change: object) -> None:
        now = next(each for each in opened.jobs if each.id == job.id)
        if now.stage == "writing" and now.pid and not seen:
            seen.append(now.pid)
            opened.pause(job.id)

    opened.subscribe(pause_at_once)
    await until(lambda: state(opened, job) in (JobState.PAUSED, JobState.DONE))
    assert state(opened, job) is JobState.PAUSED and not out.exists()
    assert psutil.Process(seen[0]).is_running()
    opened.resume(job.id)
    await done(opened, job)
    assert out.stat().st_size == opened.plan.file_bytes


async def test_a_resting_process_ends_when_its_job_is_cancelled(
    long_write: Workbench, tmp_path: Path
) -> None:
    opened = long_write
    job = opened.quantize_plan(opened.plan, tmp_path / "out.gguf")

    def now() -> Job:
        return next(each for each in opened.jobs if each.id == job.id)

    opened.subscribe(lambda _: opened.pause(job.id) if now().stage == "writing" else None)
    await until(lambda: state(opened, job) is JobState.PAUSED)
    pid = now().pid
    opened.cancel(job.id)
    assert (await opened.wait(job)).state is JobState.CANCELLED
    assert pid is not None and not psutil.pid_exists(pid) and not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "/cache/text"), "/cache/text: No space left on device"),
        (OSError(5, "Input/output error"), "the job read or wrote a file: Input/output error"),
        (MemoryError(), "the memory does not suffice for this job; close something"),
    ],
)
async def test_what_the_system_refuses_a_job_is_told_as_that_and_as_no_defect(
    error: Exception, sentence: str, tmp_path: Path
) -> None:
    async def work(running: RunningJob) -> str:
        raise error

    queue = JobQueue(tmp_path, lambda: None)
    job = await queue.wait(queue.add("measure", "one", work).id)
    assert (job.state, job.crashed, job.message) == (JobState.FAILED, True, sentence)
