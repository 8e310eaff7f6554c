"""The one owner of NVML, the library that tells what NVIDIA GPUs are doing."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

RETRY_SECONDS = 30.0
"""How long a library that would not start is left alone."""

_NOT_AVAILABLE = 2**64 - 1
_MOST_GPUS = 64
"""No machine has more; a driver that says so is not asked for each of them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU at one moment; None is what the driver does not tell."""

    index: int
    name: str
    vram_used: int | None
    """In bytes, the driver's own share included."""
    vram_total: int | None
    """In bytes."""
    utilisation: int | None
    """Per cent of the last sample period in which the GPU was busy."""

    @property
    def vram_free(self) -> int | None:
        """Bytes that a new model can use."""
        if self.vram_used is None or self.vram_total is None:
            return None
        return self.vram_total - self.vram_used


@dataclass(frozen=True)
class Gpus:
    """All NVIDIA GPUs at one moment, or the reason why there are none."""

    gpus: tuple[Gpu, ...] = ()
    note: str = ""
    """A sentence where no GPU can be shown, else empty."""
    absent: bool = False
    """Whether it is certain that no NVIDIA GPU can be used here."""
    gone: bool = False
    """Whether there were GPUs before."""


class Nvml:
    """NVML, started at the first read; nothing that it does or lacks gets out of here as an error."""

    def __init__(
        self,
        load: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take how to get the pynvml module, by default an import, and the time; nothing is asked yet."""
        self._load = load or _load_pynvml
        self._clock = clock
        self._mutex = threading.Lock()
        self._pynvml: Any = None
        self._failed = Gpus()
        self._failed_at: float | None = None
        self._had_some = False

    def read(self) -> Gpus:
        """Return all GPUs now; a failure is a note, and is tried again after a while.

        It can take seconds where a laptop's GPU sleeps: call it from a thread.
        """
        with self._mutex:
            if self._pynvml is None:
                if self._failed_at is not None and self._clock() - self._failed_at < RETRY_SECONDS:
                    return self._failed
                self._start()
            if self._pynvml is None:
                return self._failed
            pynvml = self._pynvml
            try:
                found = _read_gpus(pynvml)
                self._had_some |= bool(found.gpus)
                return replace(found, gone=self._had_some and not found.gpus)
            except Exception as error:  # a native library: the driver can go away, or be of another version
                self._stop()
                self._fail(error, pynvml)
                return self._failed

    def close(self) -> None:
        """Give the library back; a later read starts it again."""
        with self._mutex:
            self._stop()
            self._failed_at = None

    def _start(self) -> None:
        pynvml: Any = None
        try:
            pynvml = self._load()
            pynvml.nvmlInit()
        except Exception as error:  # see read()
            self._fail(error, pynvml)
        else:
            self._pynvml = pynvml
            self._failed_at = None

    def _stop(self) -> None:
        pynvml, self._pynvml = self._pynvml, None
        if pynvml is not None:
            with contextlib.suppress(Exception):  # it was a native library's last word
                pynvml.nvmlShutdown()

    def _fail(self, error: Exception, pynvml: Any) -> None:
        note, absent = _sentence(error, pynvml), _means_no_gpu(error, pynvml)
        self._failed = Gpus(note=note, absent=absent, gone=self._had_some)
        self._failed_at = self._clock()


def _load_pynvml() -> Any:
    import pynvml  # not at the top: most commands never ask for a GPU

    return pynvml


def _read_gpus(pynvml: Any) -> Gpus:
    count = min(int(pynvml.nvmlDeviceGetCount()), _MOST_GPUS)
    found = tuple(_read_gpu(pynvml, index) for index in range(count))
    return Gpus(found) if found else Gpus(note="No NVIDIA GPU.", absent=True)


def _read_gpu(pynvml: Any, index: int) -> Gpu:
    handle = _ask(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Gpu(index, "GPU (not readable)", None, None, None)
    name = _ask(pynvml, pynvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"
    memory = _ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _ask(pynvml, pynvml.nvmlDeviceGetUtilizationRates, handle)
    used, total = (None, None) if memory is None else (int(memory.used), int(memory.total))
    busy = None if rates is None else int(rates.gpu)
    return Gpu(
        index=index,
        name=name.decode(errors="replace") if isinstance(name, bytes) else str(name),
        # NVML also says N/A by the largest number there is, -1 as it is meant.
        vram_used=None if used is None or total is None or used > total else used,
        vram_total=total if total != _NOT_AVAILABLE else None,
        utilisation=busy if busy is not None and busy <= 100 else None,
    )


def _ask(pynvml: Any, query: Callable[..., T], *arguments: object) -> T | None:
    """Return the answer, or None for any of NVML's ways to say N/A: boards, drivers and MIG slices differ."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None


def _means_no_gpu(error: Exception, pynvml: Any) -> bool:
    return pynvml is not None and isinstance(
        error, (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded)
    )


def _sentence(error: Exception, pynvml: Any) -> str:
    if isinstance(error, ImportError):
        return "NVIDIA GPUs are not shown, because the package nvidia-ml-py is not installed."
    if pynvml is not None:
        if isinstance(error, pynvml.NVMLError_LibraryNotFound):
            return "No NVIDIA GPU (there is no NVIDIA driver here)."
        if isinstance(error, pynvml.NVMLError_DriverNotLoaded):
            return "No NVIDIA GPU (the NVIDIA driver is installed but not loaded)."
        if isinstance(error, pynvml.NVMLError_NoPermission):
            return "NVIDIA GPUs are not shown, because you lack the permission to ask their driver."
    reason = str(error).rstrip(".") or type(error).__name__
    return f"NVIDIA GPUs are not shown: {reason}."
