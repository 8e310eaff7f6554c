"""A GPU that refuses, or goes away: every error that NVML has, at every question that lqtui asks it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml

from lqtui.system.meters import Meters
from lqtui.system.nvml import RETRY_SECONDS, Nvml

_QUERIES = ("nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetName",
            "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUtilizationRates", "nvmlShutdown")  # fmt: skip
_ANSWERS: dict[str, Any] = {
    "nvmlDeviceGetCount": 2,
    "nvmlDeviceGetHandleByIndex": "a board",
    "nvmlDeviceGetName": "NVIDIA H100",
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=1 << 30, total=80 << 30, free=79 << 30),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=40, memory=3),
}
_ODD = {
    "nvmlDeviceGetCount": (0, 2**32 - 1),
    "nvmlDeviceGetName": (b"\xff\xfe", ""),
    "nvmlDeviceGetMemoryInfo": (SimpleNamespace(used=2**64 - 1, total=0, free=0),),
    "nvmlDeviceGetUtilizationRates": (SimpleNamespace(gpu=2**32 - 1, memory=0),),
}


class Driver:
    """Stands in for pynvml, and fails one kind of question from a number of it on, or only then."""

    def __init__(self, query: str, fault: object, *, first: int = 1, lasting: bool = True) -> None:
        self._query, self._fault = query, fault
        self._first, self._lasting, self._asked = first, lasting, 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVMLError"):
            return getattr(pynvml, name)
        return lambda *_: self._answer(name)

    def _answer(self, name: str) -> Any:
        if name == self._query:
            self._asked += 1
            if self._asked == self._first or (self._lasting and self._asked > self._first):
                if isinstance(self._fault, Exception):
                    raise self._fault
                return self._fault
        return _ANSWERS.get(name)


def gpu_faults() -> tuple[int, list[str]]:
    """Inject each error at each question, at once and later; how many, and how lqtui died of them."""
    codes = sorted({v for k, v in vars(pynvml).items() if k.startswith("NVML_ERROR_") and isinstance(v, int)})
    faults: list[object] = [pynvml.NVMLError(code) for code in codes]
    faults += [OSError("the driver's library is gone"), AttributeError("no such symbol"), MemoryError()]
    found, injected = [], 0
    for query in _QUERIES:
        for fault in (*faults, *_ODD.get(query, ())):
            for first, lasting in ((1, True), (2, True), (1, False)):
                injected += 1
                try:
                    _look(Driver(query, fault, first=first, lasting=lasting))
                except Exception as error:
                    found.append(f"{query} answers {fault!r} ({first}, {lasting}): {error!r}")
    return injected, found


def _look(driver: Driver) -> None:
    """Read the meters before, while and after; what is shown must add up."""
    now = [0.0]
    meters = Meters(Nvml(lambda: driver, lambda: now[0]))
    for _ in range(4):
        seen = meters.read()
        assert seen.gpus or seen.gpu_note.endswith("."), "neither a GPU nor a word on why there is none"
        assert len(seen.gpus) <= 64, "more GPUs than there can be"
        for gpu in seen.gpus:
            assert gpu.name
            assert gpu.vram_free is None or gpu.vram_free >= 0
            assert gpu.utilisation is None or 0 <= gpu.utilisation <= 100
        now[0] += RETRY_SECONDS + 1
    meters.close()
