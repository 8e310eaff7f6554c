"""A short campaign of kills and power cuts, and proof that it would find what it is to find."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.campaign import kills, power_recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes and open files by /proc")

_QUANTIZE = 2
_QUANTIZE_WITH_CHILD = 2 * len(kills.SCENES) + 2
_APP_WITHOUT_POWER = 3 * len(kills.SCENES)


def _of(number: int, work: Path, sabotage: kills.Sabotage | None = None) -> kills.Row:
    return kills.run(1, 1, work, print, only=number, sabotage=sabotage)


@pytest.mark.parametrize("number", [_QUANTIZE_WITH_CHILD, _APP_WITHOUT_POWER])
def test_nothing_is_lost_by_kills_and_power_cuts(number: int, tmp_path: Path) -> None:
    row = _of(number, tmp_path)
    assert row.clean, row.details
    assert row.injected or number != _APP_WITHOUT_POWER  # the other one may have ended by itself


def test_what_stays_half_written_is_found(tmp_path: Path) -> None:
    row = _of(_QUANTIZE, tmp_path, lambda home: (home / ".left.12-abc.part").touch())
    assert row.leaks == 1, row.details


def test_a_measurement_that_is_not_flushed_is_found_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(power_recorder.FORGETS, "1")
    row = _of(_APP_WITHOUT_POWER, tmp_path)
    assert row.lost == 1, row.details
