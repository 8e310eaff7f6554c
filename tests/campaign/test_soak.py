"""A short soak, and proof that one sees what grows, what is lost and what dies."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lqtui.recipe.recipe import Plan
from lqtui.workbench import Job, Result, Workbench
from tests.campaign import soak
from tests.campaign.soak import Sample, grown


class Leaky(Workbench):
    """Forgets to close a file and to end a thread for every job, and loses every second result."""

    def measure_plans(self, *asked: Any, **options: Any) -> Job:
        self.__dict__.setdefault("_leak", []).append(Path("/dev/null").open())  # noqa: SIM115
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return super().measure_plans(*asked, **options)

    def result(self, plan: Plan) -> Result | None:
        found = super().result(plan)
        self.__dict__["_turn"] = turn = self.__dict__.get("_turn", 0) + 1
        return found if turn % 2 else None


def nothing(_: str) -> None:
    """Hear nothing of how it goes on."""


def test_jobs_leave_nothing_behind(tmp_path: Path) -> None:
    row = soak.run(50, 3, tmp_path, nothing, engine=0.1)
    assert row.clean, row.details


def test_a_workbench_that_leaks_and_loses_results_is_found_out(tmp_path: Path) -> None:
    row = soak.run(10, 1, tmp_path, nothing, workbench=Leaky, engine=0.0)
    told = "\n".join(row.details)
    assert row.lost and row.leaks >= 2 and "handles grew" in told and "threads grew" in told


@pytest.mark.parametrize("name", list(soak._GROWTH))
def test_steady_growth_of_anything_is_found_out_and_a_steady_state_is_not(name: str) -> None:
    flat = Sample(0, 80 << 20, 90_000, 15, 3, 0, 5, 2, 50, 200, 9 << 20)
    allowed, each = soak._GROWTH[name]
    steady = [replace(flat, jobs=100 * turn) for turn in range(40)]
    growing = [
        replace(sample, **{name: getattr(flat, name) + int(turn * (allowed / 10 + 150 * each + 1))})
        for turn, sample in enumerate(steady)
    ]
    assert grown(steady) == []
    (told,) = grown(growing)
    assert told.startswith(f"{name} grew from")
