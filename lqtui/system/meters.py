"""How full the machine is, as immutable snapshots."""

from dataclasses import dataclass
from typing import Self

import psutil

from lqtui.system.disk import free_space
from lqtui.system.nvml import Gpu, Nvml

__all__ = ["Gpu", "Meters", "Snapshot", "close", "free_space", "read"]

# The system counts in steps of 10 ms, so that a shorter time would show the steps.
_SHORTEST_CPU_SECONDS = 0.2


@dataclass(frozen=True)
class Snapshot:
    """The machine at one moment; memory in bytes."""

    ram_used: int
    """What programs cannot give back; file caches do not count."""
    ram_total: int
    swap_used: int
    swap_total: int
    cpu_percent: float
    """Load of all cores together since the previous snapshot, 0 to 100."""
    gpus: tuple[Gpu, ...]
    gpu_note: str
    """A sentence where no GPU can be shown, else empty."""
    gpu_absent: bool = False
    """Whether it is certain that no NVIDIA GPU can be used here."""
    gpu_gone: bool = False
    """Whether there were GPUs before, and none now."""

    @property
    def ram_free(self) -> int:
        """Bytes that a new model can use without swapping."""
        return self.ram_total - self.ram_used


class Meters:
    """Reads snapshots, cheap enough for several a second; what the machine does not tell is no error."""

    def __init__(self, nvml: Nvml | None = None) -> None:
        """Take the GPU library to ask, by default the real one."""
        self._nvml = nvml or Nvml()
        self._cpu = _CpuClock.now()
        self._cpu_percent = 0.0

    def read(self) -> Snapshot:
        """Return the machine now."""
        memory = psutil.virtual_memory()
        swap_used, swap_total = _swap()
        gpus = self._nvml.read()
        return Snapshot(
            ram_used=memory.total - memory.available,
            ram_total=memory.total,
            swap_used=swap_used,
            swap_total=swap_total,
            cpu_percent=self._read_cpu(),
            gpus=gpus.gpus,
            gpu_note=gpus.note,
            gpu_absent=gpus.absent,
            gpu_gone=gpus.gone,
        )

    def close(self) -> None:
        """Give the GPU library back."""
        self._nvml.close()

    def _read_cpu(self) -> float:
        # psutil.cpu_percent() keeps one last reading per thread, and answers 0 to each new worker thread.
        now = _CpuClock.now()
        passed = now.total - self._cpu.total
        if passed < 0:  # the machine slept, or moved
            self._cpu = now
        elif passed >= _SHORTEST_CPU_SECONDS:
            busy = (now.busy - self._cpu.busy) / passed
            self._cpu, self._cpu_percent = now, round(100 * min(max(busy, 0.0), 1.0), 1)
        return self._cpu_percent


@dataclass(frozen=True)
class _CpuClock:
    """Seconds that all cores together have spent since the start."""

    busy: float
    total: float

    @classmethod
    def now(cls) -> Self:
        times = psutil.cpu_times()._asdict()
        # Linux counts the time of guests in `user` and `nice` already.
        total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
        return cls(total - times["idle"] - times.get("iowait", 0.0), total)


_METERS = Meters()


def read() -> Snapshot:
    """Return the machine now; call it from a thread, because a sleeping GPU can take seconds to answer."""
    return _METERS.read()


def close() -> None:
    """Give the GPU library back; a later read starts it again."""
    _METERS.close()


def _swap() -> tuple[int, int]:
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError, ValueError):  # containers may hide it
        return 0, 0
    return swap.used, swap.total
