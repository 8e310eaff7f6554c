"""`lqtui doctor`: what lqtui runs on, for a person who wonders why something is slow or missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lqtui import __version__
from lqtui.cli import output
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths, make_directory
from lqtui.system.meters import Meters
from lqtui.workbench.values import physical_cores
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.messages import Describe

_PACKAGES = ("llama-cpp-python", "textual", "textual-plotext", "plotext", "psutil", "nvidia-ml-py",
             "huggingface_hub", "numpy", "msgspec", "typer", "platformdirs")  # fmt: skip


async def examine(paths: Paths) -> dict[str, Any]:
    """Look at versions, engine, devices, memory, paths and terminal; the engine in a child process."""
    engine: dict[str, Any]
    try:
        log = make_directory(paths.logs) / "doctor.log"
        found = await run_task(Describe(), log)
        assert found.engine is not None
        engine = {
            "build": found.build,
            "gpu_offload": found.engine.gpu_offload,
            "devices": found.engine.devices,
            "system_info": found.engine.system_info.strip(" |"),
        }
    except (JobFailed, StoreError) as error:
        engine = {"error": str(error)}
    snapshot = Meters().read()
    return {
        "lqtui": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "engine": engine,
        "memory": {"ram_bytes": snapshot.ram_total, "ram_used_bytes": snapshot.ram_used},
        "gpus": [
            {"name": gpu.name, "vram_bytes": gpu.vram_total, "vram_used_bytes": gpu.vram_used}
            for gpu in snapshot.gpus
        ],
        "gpu_note": snapshot.gpu_note,
        "threads": {"physical_cores": physical_cores(), "logical_cores": os.cpu_count()},
        "paths": {
            "cache": str(paths.cache),
            "data": str(paths.data),
            "state": str(paths.state),
            "logs": str(paths.logs),
            "settings": str(paths.settings_file),
        },
        "llama_quantize": shutil.which("llama-quantize"),
        "terminal": {
            "is_terminal": sys.stdout.isatty(),
            "size": "{}x{}".format(*shutil.get_terminal_size()),
            "term": os.environ.get("TERM", ""),
            "colorterm": os.environ.get("COLORTERM", ""),
            "encoding": sys.stdout.encoding,
            "no_color": "NO_COLOR" in os.environ,
        },
    }


def print_examination(found: dict[str, Any]) -> None:
    """Print what `examine` found, a line for each thing."""
    rows = [["what", "found"]]

    def add(name: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name} {key}" if name != "packages" else key, inner)
        elif isinstance(value, list):
            add(name, ", ".join(str(item) for item in value) or "none")
        elif name.endswith("_bytes"):
            rows.append([_worded(name.removesuffix("_bytes")), f"{int(str(value)) / (1 << 30):.1f} GiB"])
        elif name == "llama_quantize" and not value:
            rows.append([_worded(name), "not on the PATH; scripts need it, or LLAMA_QUANTIZE=its path"])
        else:
            said = "yes" if value is True else "no" if value is False else str(value or "–")
            rows.append([_worded(name), said])

    for name, value in found.items():
        if name == "gpus":
            for gpu in value:
                add(f"GPU {gpu['name']}", {k: v for k, v in gpu.items() if k != "name"})
        else:
            add(name, value)
    output.print_table(rows, left=2)


def _worded(key: str) -> str:
    """A key of the JSON document as words."""
    return key if key in _PACKAGES else key.replace("_", " ")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
