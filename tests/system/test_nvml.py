"""Whatever an NVIDIA driver answers, or does not, is shown and never an error.

Machines without a GPU test this too, so a stand-in takes the library's place; its function names are checked
against the real pynvml, and its errors are pynvml's own classes.
"""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from lqtui.system.nvml import RETRY_SECONDS, Gpu, Gpus, Nvml

GIB = 1024**3
H100 = {"name": "NVIDIA H100 80GB HBM3", "used": 3 * GIB, "total": 80 * GIB, "busy": 42}


class Driver:
    """A stand-in for the pynvml module, with the given boards; a value that is an error class is raised."""

    def __init__(self, *boards: dict[str, Any], init: type[Exception] | None = None) -> None:
        self.boards = list(boards)
        self.init = init
        self.running = 0
        self.starts = 0

    def nvmlInit(self) -> None:
        self.starts += 1
        if self.init is not None:
            raise self.init()
        self.running += 1

    def nvmlShutdown(self) -> None:
        self.running -= 1

    def nvmlDeviceGetCount(self) -> int:
        if not self.running:
            raise pynvml.NVMLError_Uninitialized()
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self._answer(self.boards[index].get("handle", self.boards[index]))

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> Any:
        return self._answer(handle["name"])

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(used=self._answer(handle["used"]), total=handle["total"], free=0)

    def nvmlDeviceGetUtilizationRates(self, handle: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(gpu=self._answer(handle["busy"]), memory=7)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVMLError"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    @staticmethod
    def _answer(value: Any) -> Any:
        if isinstance(value, type) and issubclass(value, Exception):
            raise value()
        return value


def read(driver: Driver) -> Gpus:
    """Return what a fresh Nvml says of a driver."""
    return Nvml(lambda: driver).read()


def not_to_be_called() -> Any:
    """Fail where the library is asked for too early."""
    raise AssertionError("pynvml was loaded before the first read")


def test_the_stand_in_speaks_pynvmls_names() -> None:
    names = [name for name in vars(Driver) if name.startswith("nvml")]
    assert names and all(callable(getattr(pynvml, name)) for name in names)
    assert {name for name, _ in pynvml.c_nvmlMemory_t._fields_} == {"used", "total", "free"}
    assert {name for name, _ in pynvml.c_nvmlUtilization_t._fields_} == {"gpu", "memory"}


def test_each_gpu_tells_name_memory_and_load() -> None:
    laptop = {"name": b"NVIDIA GeForce RTX 3070", "used": GIB, "total": 8 * GIB, "busy": 0}
    found = read(Driver(H100, laptop))
    assert found.note == ""
    assert found.gpus == (
        Gpu(0, "NVIDIA H100 80GB HBM3", 3 * GIB, 80 * GIB, 42),
        Gpu(1, "NVIDIA GeForce RTX 3070", GIB, 8 * GIB, 0),
    )
    assert found.gpus[0].vram_free == 77 * GIB


@pytest.mark.parametrize(
    "error", ["NotSupported", "NoPermission", "FunctionNotFound", "Unknown", "InvalidArgument"]
)
def test_any_query_may_answer_not_available(error: str) -> None:
    na = getattr(pynvml, f"NVMLError_{error}")
    (gpu,) = read(Driver(H100 | {"busy": na})).gpus
    assert (gpu.vram_total, gpu.utilisation) == (80 * GIB, None)
    (gpu,) = read(Driver(H100 | {"used": na})).gpus
    assert (gpu.vram_used, gpu.vram_total, gpu.vram_free, gpu.utilisation) == (None, None, None, 42)
    (gpu,) = read(Driver(H100 | {"name": na})).gpus
    assert (gpu.name, gpu.vram_used) == ("NVIDIA GPU", 3 * GIB)


def test_one_lost_gpu_does_not_hide_the_others() -> None:
    lost = {"handle": pynvml.NVMLError_GpuIsLost}
    first, second = read(Driver(lost, H100)).gpus
    assert first == Gpu(0, "GPU (not readable)", None, None, None)
    assert second.name == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    ("error", "absent", "note"),
    [
        (pynvml.NVMLError_LibraryNotFound, True, "No NVIDIA GPU (there is no NVIDIA driver here)."),
        (
            pynvml.NVMLError_DriverNotLoaded,
            True,
            "No NVIDIA GPU (the NVIDIA driver is installed but not loaded).",
        ),
        (
            pynvml.NVMLError_NoPermission,
            False,
            "NVIDIA GPUs are not shown, because you lack the permission to ask their driver.",
        ),
        (pynvml.NVMLError_LibRmVersionMismatch, False, "NVIDIA GPUs are not shown: "),
        (OSError, False, "NVIDIA GPUs are not shown: OSError."),
    ],
)
def test_a_library_that_does_not_start_is_a_sentence_and_may_mean_that_there_is_no_gpu(
    error: type[Exception], absent: bool, note: str
) -> None:
    found = read(Driver(H100, init=error))
    assert found.gpus == ()
    assert found.absent == absent
    assert found.note.startswith(note)
    assert found.note.endswith(".")


def test_a_driver_without_boards_is_a_sentence() -> None:
    assert read(Driver()) == Gpus(note="No NVIDIA GPU.", absent=True)


def test_a_missing_or_broken_package_is_a_sentence() -> None:
    def missing() -> Any:
        raise ModuleNotFoundError("No module named 'pynvml'")

    def broken() -> Any:
        raise RuntimeError("half an installation")

    assert Nvml(missing).read().note.endswith("because the package nvidia-ml-py is not installed.")
    assert Nvml(broken).read().note == "NVIDIA GPUs are not shown: half an installation."


def test_nothing_is_loaded_before_the_first_read() -> None:
    Nvml(not_to_be_called).close()
    loaded = "import sys, lqtui.system.meters; print('pynvml' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "False"


def test_the_library_starts_once_and_is_given_back() -> None:
    driver = Driver(H100)
    nvml = Nvml(lambda: driver)
    for _ in range(3):
        nvml.read()
    assert (driver.starts, driver.running) == (1, 1)
    nvml.close()
    nvml.close()
    assert driver.running == 0
    assert nvml.read().gpus
    assert (driver.starts, driver.running) == (2, 1)


def test_a_library_that_does_not_start_is_tried_again_only_after_a_while() -> None:
    driver = Driver(H100, init=pynvml.NVMLError_DriverNotLoaded)
    now = [1000.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    nvml = Nvml(lambda: driver, clock)
    first = nvml.read()
    driver.init = None
    now[0] += RETRY_SECONDS - 1
    assert nvml.read() == first
    assert driver.starts == 1
    now[0] += 2
    assert nvml.read().gpus[0].utilisation == 42


def test_a_driver_that_goes_away_while_running_is_a_sentence_and_comes_back() -> None:
    driver = Driver(H100)
    now = [0.0]
    nvml = Nvml(lambda: driver, lambda: now[0])
    assert nvml.read().gpus
    driver.running = 0  # as after a driver update or a suspend
    gone = nvml.read()
    assert gone.gpus == () and gone.note.startswith("NVIDIA GPUs are not shown: ")
    assert gone.gone
    driver.running = 0
    now[0] += RETRY_SECONDS + 1
    back = nvml.read()
    assert back.gpus and not back.gone
    driver.boards = []  # pulled out
    assert nvml.read().gone and not read(Driver()).gone


def test_numbers_that_cannot_be_are_not_told() -> None:
    (gpu,) = read(Driver(H100 | {"used": 2**64 - 1, "busy": 2**32 - 1})).gpus
    assert (gpu.vram_used, gpu.vram_free, gpu.vram_total, gpu.utilisation) == (None, None, 80 * GIB, None)
    (gpu,) = read(Driver(H100 | {"used": 2**64 - 1, "total": 2**64 - 1})).gpus
    assert (gpu.vram_total, gpu.vram_free) == (None, None)


def test_a_driver_that_counts_more_boards_than_there_can_be_is_not_asked_for_each() -> None:
    driver = Driver(*[H100] * 1000)
    assert len(read(driver).gpus) == 64


@pytest.mark.parametrize("error", [OSError, AttributeError, pynvml.NVMLError_Uninitialized])
def test_a_library_that_cannot_be_given_back_is_no_error(error: type[Exception]) -> None:
    driver = Driver(H100)
    nvml = Nvml(lambda: driver)
    assert nvml.read().gpus

    def refuse() -> None:
        raise error()

    driver.nvmlShutdown = refuse  # type: ignore[method-assign]
    nvml.close()
