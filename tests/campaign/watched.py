"""Runs `lqtui …`, or a function, in a process that is bounded and watched, and tells what became of it.

    with Watched(work, reads=[models]) as watched:
        seen = watched.lqtui("plan", model, "--preset", "Q4_K_M")
        deaths, leaks = seen.deaths, seen.leaks

A process may write under `work` alone, and read there, in `reads`, and what belongs to Python and the system.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_KEPT = 200_000
"""Bytes of each output that are read."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal might obey, and what turns the direction of writing; not line ends and tabs."""


@dataclass(frozen=True)
class Seen:
    """What became of a watched process.

    Attributes:
        code: Its exit code, negative for a signal; None where its time was up.
        stdout: What it printed.
        stderr: What it said.
        seconds: How long it ran.
        peak_bytes: The most memory that it, or one of its children, had at once.
        outside: What it touched outside its places, a line each.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
    outside: tuple[str, ...]

    @property
    def deaths(self) -> tuple[str, ...]:
        """How it died, or failed without a sentence; nothing where it is done or says why it is not."""
        found = []
        if self.code is None:
            found.append(f"hung for {self.seconds:.0f} s: {self.stderr[-800:]}")
        elif self.code not in (0, 1, 2):
            found.append(f"ended with {self.code}: {self.stderr[-400:]}")
        elif "Traceback (most recent call last)" in self.stdout + self.stderr:
            found.append(f"printed a traceback: {self.stderr[-600:]}")
        elif "a defect in lqtui" in self.stderr:
            found.append(f"stopped at a defect: {self.stderr[-400:]}")
        elif self.code and not self._is_told():
            found.append(f"ended with {self.code} and no sentence: {self.stderr[-400:]!r}")
        return tuple(found)

    @property
    def leaks(self) -> tuple[str, ...]:
        """What it touched outside its places, and escapes that would have reached a terminal."""
        escapes = _CONTROLS.findall(self.stdout + self.stderr)
        told = [f"printed {sorted(set(escapes))!r}"] if escapes else []
        return (*self.outside, *told)

    def _is_told(self) -> bool:
        return self.stderr.splitlines()[-1:] != [] and self.stderr.splitlines()[-1].startswith("lqtui: ")


class Watched:
    """Watched processes, one after the other, with a home and a temporary folder of their own under `work`.

    Args:
        work: The folder that they may write under; it is where they start.
        reads: Further folders that they may read.
        memory: The address space in bytes that each may take more than what an idle one has.
        seconds: How long each may run.
        forked_engine: Whether the engine's child is forked from what is loaded, which spares its start.
        variables: Their environment besides.
    """

    def __init__(
        self,
        work: Path,
        *,
        reads: Sequence[Path] = (),
        memory: int = 1 << 30,
        seconds: float = 20,
        forked_engine: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.work = work.resolve()
        self.home = self.work / "home"
        self._reads = [str(path.resolve()) for path in reads]
        self._memory = memory
        self._seconds = seconds
        self._forked_engine = forked_engine
        self._variables = dict(variables or {})
        temporary = self.work / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        self._outputs = {name: self.work / f".{name}" for name in ("stdout", "stderr", "report")}
        path = os.pathsep.join(map(str, (_ROOT, _ROOT / "tests", _ROOT / "tests" / "tui")))
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            "HOME": str(self.work),
            "TMPDIR": str(temporary),
            "LQTUI_HOME": str(self.home),
            "HF_HOME": str(self.work / "huggingface"),
            "HF_HUB_OFFLINE": "1",
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": path,
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.watching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env=self._environment,
        )

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def lqtui(self, *arguments: str | Path, seconds: float | None = None) -> Seen:
        """Run the command."""
        return self._run("", [os.fspath(argument) for argument in arguments], seconds)

    def call(self, function: str, *arguments: object, seconds: float | None = None) -> Seen:
        """Run a function, "module:name", with arguments that JSON can hold."""
        return self._run(function, list(arguments), seconds)

    def _run(self, function: str, arguments: list[object], seconds: float | None) -> Seen:
        assert self._server.stdin is not None and self._server.stdout is not None
        for path in self._outputs.values():
            path.write_bytes(b"")
        request = {
            "function": function,
            "arguments": arguments,
            "variables": self._environment | self._variables,
            "folder": str(self.work),
            "reads": self._reads,
            "writes": [str(self.work)],
            "memory": self._memory,
            "seconds": seconds or self._seconds,
            "forked_engine": self._forked_engine,
            **{name: str(path) for name, path in self._outputs.items()},
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        printed = {name: _beginning(path) for name, path in self._outputs.items()}
        outside = tuple(dict.fromkeys(printed.pop("report").splitlines()))
        return Seen(
            answer["code"], **printed, seconds=answer["seconds"], peak_bytes=answer["peak"], outside=outside
        )


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_KEPT).decode("utf-8", "replace")
