"""A snapshot of the machine is true, immutable and cheap."""

import dataclasses
import threading
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from lqtui.system import disk, meters
from lqtui.system.nvml import Gpu, Gpus, Nvml

CpuTimes = namedtuple("CpuTimes", "user nice system idle iowait guest")


class OneGpu(Nvml):
    """A GPU library that always answers the same."""

    def read(self) -> Gpus:
        return Gpus((Gpu(0, "NVIDIA Test", 1, 2, 3),))


def test_memory_is_the_machines_own() -> None:
    snapshot = meters.read()
    memory = psutil.virtual_memory()
    assert snapshot.ram_total == memory.total
    assert 0 < snapshot.ram_used < snapshot.ram_total
    assert snapshot.ram_used + snapshot.ram_free == snapshot.ram_total
    assert abs(snapshot.ram_free - memory.available) < memory.total / 10
    assert 0 <= snapshot.swap_used <= snapshot.swap_total


def test_gpus_are_shown_or_their_absence_is_explained() -> None:
    snapshot = meters.read()
    assert bool(snapshot.gpus) != bool(snapshot.gpu_note)
    assert meters.Meters(OneGpu()).read().gpus[0].name == "NVIDIA Test"
    meters.close()


def test_a_snapshot_does_not_change() -> None:
    snapshot = meters.read()
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.ram_used = 0  # type: ignore[misc]


def test_cpu_load_is_that_of_the_time_between_two_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    # On Linux the 10 s of guests are part of the user's, and waiting for a disk is not work.
    times = [
        CpuTimes(user=100.0, nice=0.0, system=10.0, idle=1000.0, iowait=50.0, guest=10.0),
        CpuTimes(user=102.0, nice=0.0, system=11.0, idle=1006.0, iowait=51.0, guest=11.0),
    ]
    monkeypatch.setattr(psutil, "cpu_times", lambda: times.pop(0))
    machine = meters.Meters(OneGpu())
    assert machine.read().cpu_percent == 30.0


def test_cpu_load_is_the_same_whichever_thread_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(psutil, "cpu_times", lambda: CpuTimes(clock[0], 0.0, 0.0, clock[0], 0.0, 0.0))
    machine = meters.Meters(OneGpu())
    answers = []
    for _ in range(3):
        clock[0] += 1.0
        thread = threading.Thread(target=lambda: answers.append(machine.read().cpu_percent))
        thread.start()
        thread.join(10)
    assert answers == [50.0, 50.0, 50.0]


def test_a_clock_that_stands_still_or_runs_back_keeps_the_last_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1.0]
    monkeypatch.setattr(psutil, "cpu_times", lambda: CpuTimes(clock[0], 0.0, 0.0, 0.0, 0.0, 0.0))
    machine = meters.Meters(OneGpu())
    clock[0] = 2.0
    assert machine.read().cpu_percent == 100.0
    assert machine.read().cpu_percent == 100.0
    clock[0] = 0.0
    assert machine.read().cpu_percent == 100.0
    clock[0] = 1.0
    assert machine.read().cpu_percent == 100.0


def test_a_container_that_hides_swap_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise RuntimeError("no /proc/vmstat")

    monkeypatch.setattr(psutil, "swap_memory", hidden)
    snapshot = meters.read()
    assert (snapshot.swap_used, snapshot.swap_total) == (0, 0)


def test_a_snapshot_takes_milliseconds() -> None:
    meters.read()
    start = time.perf_counter()
    for _ in range(10):
        meters.read()
    assert (time.perf_counter() - start) / 10 < 0.1


def test_free_space_is_that_of_the_closest_folder_that_exists(tmp_path: Path) -> None:
    free = meters.free_space(tmp_path / "not" / "there" / "model.gguf")
    assert free == pytest.approx(meters.free_space(tmp_path), rel=0.05)
    assert disk.nearest_existing(tmp_path / "not" / "there") == tmp_path
    assert disk.mount_point(tmp_path / "not").is_mount()
    assert tmp_path.is_relative_to(disk.mount_point(tmp_path))


@pytest.mark.parametrize("stamp", [-(2.0**62), -99999999999.0, 999999999999999.0, 2.0**62])
def test_a_time_that_no_calendar_has_is_the_nearest_that_one_has(stamp: float) -> None:
    date = disk.date_of(stamp)
    assert date.year in (1, 9999)
    assert date.astimezone().isoformat()
    assert disk.date_of(0).isoformat() == "1970-01-01T00:00:00+00:00"
