"""How long a whole job still takes, held against how long real jobs took.

The timelines are of SmolLM2-135M on one thread of a machine that others kept busy too; each line is what the
job was expected to consist of, or how much of a stage was done after so many seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from lqtui.workbench.outlook import STARTING, USUAL, Outlook, Stage
from lqtui.workbench.paces import Paces

TIMELINES = Path(__file__).parent / "timelines"
JOBS = sorted(path.stem for path in TIMELINES.glob("*.jsonl"))
WITHIN = 0.25


class Told(NamedTuple):
    """What was told at a time, in seconds, and what was true."""

    at: float
    left: float
    really: float

    @property
    def off(self) -> float:
        return self.left / self.really - 1


def replayed(job: str, paces: Mapping[str, float]) -> tuple[list[Told], Outlook]:
    lines = [json.loads(line) for line in (TIMELINES / f"{job}.jsonl").read_text().splitlines()]
    end = lines[-1][1]
    outlook, told = Outlook(paces, 0.0), []
    for what, at, how in lines[:-1]:
        if what == "expect":
            outlook.expect([Stage(*stage) for stage in how])
        else:
            outlook.advance(what, how, at)
            told.append(Told(at, outlook.time_left() or 0.0, end - at))
    return told, outlook


def after_a_tenth(told: list[Told]) -> list[Told]:
    end = told[0].at + told[0].really
    return [each for each in told if each.at >= end / 10]


@pytest.mark.parametrize("job", JOBS)
def test_after_a_tenth_of_the_work_the_time_left_is_right_within_a_quarter(job: str) -> None:
    told, _ = replayed(job, {})
    first = after_a_tenth(told)[0]
    print(f"{job}: {first.left:.1f} s after {first.at:.1f} s, really {first.really:.1f} ({first.off:+.0%})")
    assert abs(first.off) <= WITHIN


@pytest.mark.parametrize("job", JOBS)
def test_from_then_on_the_end_is_foretold_within_a_quarter_of_the_whole(job: str) -> None:
    told, _ = replayed(job, {})
    end = told[0].at + told[0].really
    assert max(abs(each.left - each.really) for each in after_a_tenth(told)) <= max(WITHIN * end, 1.0)


def test_of_a_job_like_an_earlier_one_it_is_known_from_the_start() -> None:
    _, first = replayed("measure", {})
    on_another_machine, _ = replayed("measure", {kind: 3 * pace for kind, pace in first.learned.items()})
    here, _ = replayed("measure", first.learned)
    assert abs(here[0].off) < 0.1 and on_another_machine[0].off > 1


def test_a_machine_that_is_ten_times_slower_is_found_out() -> None:
    outlook = Outlook({}, 0.0)
    outlook.expect([Stage(STARTING, 1), Stage("scoring", 1000), Stage("generation speed", 1000)])
    usual = outlook.time_left() or 0.0
    outlook.advance("scoring", 0.0, 0.7)
    outlook.advance("scoring", 0.5, 0.7 + 500 * 10 * USUAL["scoring"])
    left = 500 * 10 * USUAL["scoring"] + 1000 * 10 * USUAL["generation speed"]
    assert outlook.time_left() == pytest.approx(left, rel=WITHIN) and usual < left / 5


def test_stages_that_are_not_needed_and_some_that_come_again_leave_no_trace() -> None:
    outlook = Outlook({}, 0.0)
    stages = [Stage("quantizing", 100), Stage("loading", 1), Stage("scoring", 100), Stage("loading", 1)]
    outlook.expect(stages)
    outlook.advance("loading", 0.0, 1.0)  # all was in the pool
    outlook.advance("scoring", 0.0, 2.0)
    outlook.advance("scoring", 0.5, 12.0)
    outlook.advance("quantizing", 0.0, 13.0)  # another group of recipes
    outlook.advance("scoring", 0.5, 14.0)
    outlook.advance("scoring", 0.9, 22.0)
    assert 1.0 < (outlook.time_left() or 0.0) < 9.0


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert Outlook({}, 0.0).time_left() is None


def test_paces_are_remembered_by_the_way_of_computing(tmp_path: Path) -> None:
    file = tmp_path / "state" / "paces.json"
    Paces(file).learn(4, -1, {"scoring": 0.2})
    Paces(file).learn(4, -1, {"scoring": 0.4, "loading": 2.0})
    kept = Paces(file)
    assert kept.of(4, -1) == {"scoring": pytest.approx(0.3), "loading": 2.0} and kept.of(8, -1) == {}
    file.write_text("{")
    assert Paces(file).of(4, -1) == {}
