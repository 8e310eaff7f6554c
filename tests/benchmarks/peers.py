"""Stock llama.cpp's tools, run as people run them, with the time and the memory that they took."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from lqtui.export.script import export_script
from lqtui.recipe.recipe import Plan

_NUMBER = r"([0-9.]+)"
_PERPLEXITY = re.compile(rf"Final estimate: PPL = {_NUMBER} \+/- {_NUMBER}")
_DIVERGENCE = re.compile(rf"Mean +KLD: +(-?[0-9.]+) ± +{_NUMBER}")


class Cost(NamedTuple):
    """Seconds on the clock, and the most memory that the processes held together, in bytes."""

    seconds: float
    peak: int

    def then(self, other: Cost) -> Cost:
        """This and then the other."""
        return Cost(self.seconds + other.seconds, max(self.peak, other.peak))


class Ran(NamedTuple):
    """What a command printed, both streams together, and what it cost."""

    output: str
    cost: Cost


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Ran:
    """Run a command to its end; CalledProcessError shows what it printed."""
    with (
        subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        ) as process,
        watched(psutil.Process(process.pid)) as cost,
    ):
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output)
    return Ran(output, cost())


@contextlib.contextmanager
def watched(process: psutil.Process) -> Iterator[Callable[[], Cost]]:
    """Time what happens within, and note the most memory that a process and its children hold."""
    started, peak, over = time.perf_counter(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            with contextlib.suppress(psutil.Error):
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(member.memory_info().rss for member in family))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: Cost(seconds, peak)
    finally:
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()


class Peers:
    """llama-quantize and llama-perplexity on one model and one text, one file of a model at a time."""

    def __init__(
        self, tools: Path, model: Path, corpus: Path, n_ctx: int, chunks: int, threads: int, work: Path
    ) -> None:
        self._tools, self._model, self._work = tools, model, work
        self._threads = str(threads)
        self._common = ["-f", corpus, "-c", str(n_ctx), "--chunks", str(chunks), "-t", self._threads]
        self._logits = work / "base.logits"

    def quantize(self, plan: Plan) -> tuple[Path, Cost]:
        """A recipe's file, by the script that lqtui exports; the base itself where nothing changes."""
        if all(planned.effective is planned.tensor.type for planned in plan.tensors):
            return self._model, Cost(0, 0)
        script, out = self._work / "quantize.sh", self._work / "recipe.gguf"
        script.write_text(export_script(plan, self._model.name))
        environment = {"PATH": f"{self._tools}:/usr/bin:/bin", "NTHREAD": self._threads}
        out.unlink(missing_ok=True)
        return out, run(["bash", script, self._model, out], environment).cost

    def perplexity(self, model: Path) -> tuple[str, Cost]:
        """PPL and its error, as printed."""
        return _measured([self._tools / "llama-perplexity", "-m", model, *self._common], _PERPLEXITY)

    def keep_logits(self) -> Cost:
        """The base's logits, for `divergence`."""
        command = [self._tools / "llama-perplexity", "-m", self._model, *self._common]
        return run([*command, "--kl-divergence-base", self._logits]).cost

    def divergence(self, model: Path) -> tuple[str, Cost]:
        """Mean KLD and its error, as printed."""
        command = [self._tools / "llama-perplexity", "-m", model, *self._common]
        return _measured([*command, "--kl-divergence", "--kl-divergence-base", self._logits], _DIVERGENCE)


def _measured(command: Sequence[str | Path], pattern: re.Pattern[str]) -> tuple[str, Cost]:
    """A tool's result. Its log can lose its last lines when it ends; it is run again then, and timed once."""
    for _ in range(5):
        output, cost = run(command)
        if match := pattern.search(output):
            return " ± ".join(match.groups()), cost
    raise ValueError(f"no result in what the tool printed: {output[-500:]}")
