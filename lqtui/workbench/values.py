"""What the workbench shows: immutable snapshots that a screen or a command can keep."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import NamedTuple

import psutil

from lqtui.recipe.memory import MemoryEstimate
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

DOWNLOAD, CONVERSION = "download", "convert"
"""The kinds of the jobs that bring a model; they have nothing to do with the one that is open."""
CHAT, FINGERPRINT = "chat", "fingerprint"
"""The kinds of the jobs that are over before anyone looks for them among the others."""


class WorkbenchError(Exception):
    """Something the person asked for that cannot be done; the message is one clear sentence."""


class WorkFailedError(WorkbenchError):
    """What was asked for could be done, had the network, a disk or the engine not failed."""


class AlreadyQuantizedError(WorkbenchError):
    """The model is already quantized; it can be opened all the same, if the person insists."""


class Imported(NamedTuple):
    """A recipe from somewhere else, and a sentence for each thing about it that may surprise."""

    recipe: Recipe
    notices: tuple[str, ...] = ()


class Change(Enum):
    """What part of the workbench changed."""

    MODEL = auto()
    RECIPE = auto()
    JOBS = auto()
    RESULTS = auto()
    FIT = auto()
    IMPORTANCE = auto()


@dataclass(frozen=True)
class OpenModel:
    """The base model: its file, its shape, the engine that read it, and its SHA-256 once that is known."""

    path: Path
    shape: ModelShape
    engine: str
    digest: str | None = None


def physical_cores() -> int:
    """Threads that llama.cpp uses best: one per physical core.

    No more than this process may run on: threads wait by spinning, and those without a core slow the others.
    """
    return min(psutil.cpu_count(logical=False) or psutil.cpu_count() or 1, _allowed_cpus())


def _allowed_cpus() -> int:
    """The logical cores that this process is not kept from, as by a container or `taskset`."""
    of_process = getattr(os, "sched_getaffinity", None)  # where the system tells
    return len(of_process(0)) if of_process else psutil.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """How recipes are measured.

    `corpus` None is WikiText-2 or the text that comes with Python, as `Corpora` says. Chunks of `n_ctx`
    tokens are scored: the first ones as llama-perplexity takes them, or with `spread` some from all over the
    text. With `divergence` they are compared with the base model, and `memory` bounds, in bytes, what is kept
    meanwhile to save computing; 0 is half of what is free. `calibration` is the text that recipes are fitted
    on; None is the second half of the corpus. Speed is `repetitions` runs each of a prompt of
    `n_prompt` tokens and of `n_gen` generated ones. `fit_ctx`, `type_k` and `type_v` are the context length
    and the types of its KV cache for which the memory is told.
    """

    corpus: Path | None = None
    calibration: Path | None = None
    n_ctx: int = 512
    chunks: int = 5
    threads: int = 0
    fit_ctx: int = 4096
    type_k: TensorType = TensorType.F16
    type_v: TensorType = TensorType.F16
    repetitions: int = 5
    n_prompt: int = 512
    n_gen: int = 128
    gpu_layers: int = -1
    divergence: bool = True
    spread: bool = False
    memory: int = 0

    @property
    def memory_used(self) -> int:
        """The chosen bound in bytes, else half of the memory that is free now."""
        return self.memory or int(psutil.virtual_memory().available) // 2

    @property
    def threads_used(self) -> int:
        """The number of threads: the chosen one, else one per physical core."""
        return self.threads or physical_cores()

    @property
    def other_threads(self) -> tuple[int, ...]:
        """What scoring may try instead, where no number was chosen: one thread per logical core."""
        logical = _allowed_cpus()
        return () if self.threads or logical == physical_cores() else (logical,)


@dataclass(frozen=True)
class Fit:
    """The memory that a recipe needs with a context of `n_ctx` tokens.

    Where `memory` is None, `problem` says why; where that is empty too, llama.cpp is still being asked.
    """

    n_ctx: int
    type_k: TensorType
    type_v: TensorType
    memory: MemoryEstimate | None = None
    problem: str = ""


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Job:
    """A job as it was at one moment. Times are in seconds; `eta` is for all that is left, None if unknown.

    `total` is 0 as long as it is not known. `share` of the stage's work is done where that is not `done` of
    `total`. `rate` is how many bytes a second come of a download. `crashed` tells a failure of the engine, of
    network or disk, or of lqtui from input that could not be used. `notice` says what is done otherwise than
    the person would expect. `subject` is the recipe at hand where there are several. `pausing` is a job that
    runs until nothing is lost by its pause. `place` is that among those that wait, from 1 on; 0 is none.
    """

    id: int
    kind: str
    title: str
    log: Path
    state: JobState = JobState.QUEUED
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    share: float | None = None
    rate: float | None = None
    stage_number: int = 0
    stage_count: int = 1
    elapsed: float = 0.0
    eta: float | None = None
    message: str = ""
    notice: str = ""
    crashed: bool = False
    pid: int | None = None
    subject: str = ""
    pausing: bool = False
    place: int = 0

    @property
    def active(self) -> bool:
        """Whether the job is yet to end."""
        return self.state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)

    @property
    def stage_fraction(self) -> float:
        """How much of the stage at hand is done, from 0 to 1; 0 where that is not known."""
        if self.state is JobState.DONE:
            return 1.0
        if self.share is not None:
            return self.share
        return min(1.0, self.done / self.total) if self.total else 0.0


_NOISY_SHARE = 0.1
"""A standard deviation of speeds beyond this share of their mean is not the model's own."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second: mean and standard deviation over repetitions."""

    mean: float
    sd: float
    repetitions: int

    @property
    def noisy(self) -> bool:
        """Whether the runs differ so much that something else must have held some of them up."""
        return self.sd > _NOISY_SHARE * self.mean


@dataclass(frozen=True)
class Result:
    """What was measured of one recipe on the current corpus, over `chunks` chunks; None where it was not.

    `digest` is the Plan's. Differences are against the base model, paired token by token, and are told only
    where the base has all of these chunks too. `partial` says that chunks are still to come. Numbers of a
    broken model are not numbers (NaN).

    Standard errors take tokens for independent, as those that llama-perplexity prints do. What can be said of
    one recipe beside another, with errors that do not, is told by `Workbench.compare`.
    """

    name: str
    digest: str
    file_bytes: int
    bits_per_weight: float
    recipe: Recipe
    perplexity: float | None = None
    perplexity_se: float | None = None
    delta_nll: float | None = None
    """Mean difference of NLL, in nats: ln(PPL / PPL_base)."""
    delta_nll_se: float | None = None
    delta_percent: float | None = None
    """The same as a change of perplexity in percent."""
    delta_percent_se: float | None = None
    kld: float | None = None
    """Mean KL divergence from the base, in nats, as the percentiles and the maximum over tokens are."""
    kld_se: float | None = None
    kld_median: float | None = None
    kld_p99: float | None = None
    kld_p999: float | None = None
    kld_max: float | None = None
    top1_agreement: float | None = None
    """The share of tokens, 0 to 1, where recipe and base find the same one the likeliest."""
    top1_agreement_se: float | None = None
    rms_dp: float | None = None
    """Root mean square of the change of the probability of the token that came, 0 to 1."""
    rms_dp_se: float | None = None
    chunks: int = 0
    seconds: float | None = None
    """What scoring these chunks took beyond what was shared with recipes scored beside it."""
    prompt: Speed | None = None
    generation: Speed | None = None
    partial: bool = False
    by_imatrix: bool = False
    """Whether an importance matrix weighs in any of its tensors."""

    @property
    def title(self) -> str:
        """The name, and whether an importance matrix made another recipe of what goes by it without."""
        return f"{self.name} by imatrix" if self.by_imatrix else self.name

    @property
    def broken(self) -> bool:
        """Whether the recipe breaks the model: it gives no probabilities, and its perplexity is no number."""
        return self.perplexity is not None and not math.isfinite(self.perplexity)
