"""A short campaign of faults, and that it can fail."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs POSIX limits", allow_module_level=True)

from tests.campaign import fault_gpus, faults
from tests.campaign.fault_kinds import Injection
from tests.campaign.fault_lane import Lane, Reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference.made(tmp_path_factory.mktemp("faults"), ["quantize"])


def test_no_fault_loses_a_result_or_ends_in_a_traceback(tmp_path: Path) -> None:
    row = faults.run(2, 3, tmp_path, lambda line: None)
    assert row.clean, row.details
    assert row.injected > 700


def test_lost_results_a_half_written_file_and_a_defect_are_seen(reference: Reference, tmp_path: Path) -> None:
    lane = reference.lane(tmp_path / "lane", "quantize")

    def spoil(process: subprocess.Popen[bytes]) -> None:
        process.wait(60)
        database = lane.home / "data" / "results.sqlite3"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("DELETE FROM chunks WHERE chunk = 1")
            connection.commit()
        lane.out.write_bytes(b"half")

    injection = Injection(variables={"PYTHONPATH": str(planted(lane))}, meanwhile=spoil)
    deaths, lost, code = faults.one(lane, reference, injection)
    assert code == 1 and "a defect in lqtui" in deaths[0]
    assert "half" not in str(lost) and "is not as it should be" in lost[0]
    assert any("rows of results are lost" in each for each in lost)


def planted(lane: Lane) -> Path:
    """A folder that makes every lqtui fail as a defect would."""
    folder = lane.folder / "planted"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import os\nos.cpu_count = None\nos.sched_getaffinity = None\n")
    return folder


def test_an_error_of_the_gpus_driver_that_gets_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lqtui.system.nvml._ask", lambda pynvml, query, *arguments: query(*arguments))
    monkeypatch.setattr("lqtui.system.nvml.Nvml._fail", lambda nvml, error, pynvml: 1 / 0)
    assert fault_gpus.gpu_faults()[1]
