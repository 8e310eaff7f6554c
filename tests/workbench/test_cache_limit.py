"""The cache keeps to the limit that the settings file gives, without a wrong number or a job lost."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from lqtui.store.paths import Paths
from lqtui.store.pool import Pool
from lqtui.system.disk import disk_size
from lqtui.workbench import Workbench
from lqtui.workbench.cache_limit import cache_limit
from tests.workbench.bench_jobs import done, measure, row


def allow(paths: Paths, gib: object) -> None:
    paths.config.mkdir(parents=True, exist_ok=True)
    paths.settings_file.write_text(f"cache_gib = {gib}\n")


def held(paths: Paths) -> int:
    """The bytes of all that has a folder in an entry."""
    return sum(path.stat().st_size for path in paths.pool.glob("*/*/*/**/*") if path.is_file())


@pytest.fixture
async def small(bench: Workbench, tiny_model: Path, tiny_corpus: Path) -> Workbench:
    bench.configure(replace(bench.settings, corpus=tiny_corpus))
    await bench.open(tiny_model)
    return bench


def test_unless_the_person_says_how_much_a_quarter_of_the_disk_is_kept(paths: Paths) -> None:
    assert cache_limit(paths) == disk_size(paths.pool) // 4
    allow(paths, 1.5)
    assert cache_limit(paths) == 3 << 29
    for wrong in ("-1", "nan", "inf", '"much"', "true"):
        allow(paths, wrong)
        assert cache_limit(paths) == disk_size(paths.pool) // 4


async def test_after_each_job_the_cache_is_within_its_limit_and_what_is_measured_is_the_same(
    small: Workbench, paths: Paths
) -> None:
    names = ("uniform_q4_0", "Q5_K_M", "uniform_q4_0", "attention_q8")
    await done(small, measure(small, *names))
    first = {name: row(small, name).perplexity for name in names}
    whole = held(paths)
    limit = whole // 2
    allow(paths, limit / (1 << 30))
    for name in names:
        await done(small, measure(small, name, fresh=True))
        assert held(paths) <= limit
        assert row(small, name).perplexity == first[name]
    assert held(paths) > 0


async def test_the_types_that_were_used_again_are_the_last_to_go(small: Workbench, paths: Paths) -> None:
    def types() -> set[str]:
        return {folder.name for folder in paths.pool.glob("*/*/*") if folder.is_dir()}

    for name in ("Q8_0", "Q5_1", "Q8_0"):
        await done(small, measure(small, name, fresh=True))
    assert {"q8_0", "q5_1"} <= types()
    while {"q8_0", "q5_1"} <= types():
        assert Pool(paths.pool).keep_to(held(paths) - 1) > 0
    assert "q8_0" in types()


async def test_a_job_that_runs_keeps_what_it_uses_whoever_keeps_to_the_limit(
    opened: Workbench, paths: Paths
) -> None:
    opened.configure(replace(opened.settings, chunks=30))
    job = measure(opened, "uniform_q4_0")
    freed: list[int] = []

    def keep_to_nothing(_: object) -> None:
        now = next(each for each in opened.jobs if each.id == job.id)
        if now.stage == "scoring" and now.pid and not freed:
            os.kill(now.pid, signal.SIGSTOP)
            freed.append(Pool(paths.pool).keep_to(0))
            os.kill(now.pid, signal.SIGCONT)

    opened.subscribe(keep_to_nothing)
    await done(opened, job)
    assert freed == [0]
    assert Pool(paths.pool).keep_to(0) > 0


async def test_a_limit_that_cannot_be_kept_fails_no_job(
    small: Workbench, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, limit: int) -> int:
        raise PermissionError(13, "Permission denied", str(Path(paths.pool)))

    monkeypatch.setattr(Pool, "keep_to", fail)
    await done(small, measure(small, "uniform_q4_0"))
