"""Loads models as llama.cpp's tools do, in a process of its own, and tells what its log says it allocated."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import llama_cpp

from lqtui.recipe.memory import MemoryEstimate, Part
from lqtui.recipe.types import TensorType

MIB = 1 << 20
_NEXT = "next question"
_LINE = re.compile(r"(?P<name>\S+) +(?P<kind>model|KV|RS|compute|output) buffer size = +(?P<mib>[\d.]+) MiB")
_PARTS = {
    "model": Part.WEIGHTS,
    "KV": Part.KV_CACHE,
    "RS": Part.STATE,
    "compute": Part.COMPUTE,
    "output": Part.OUTPUT,
}


class Question(NamedTuple):
    """A model's file, and the context to run it with."""

    model: Path
    n_ctx: int
    type_k: TensorType
    type_v: TensorType


Allocated = dict[tuple[str, Part], float]
"""MiB by the buffer's name and its part."""


def allocated(questions: Iterable[Question]) -> list[Allocated]:
    """What llama.cpp allocates for each question, by its own log."""
    asked = [(str(q.model), q.n_ctx, q.type_k.layout.number, q.type_v.layout.number) for q in questions]
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [allocated_by_log(log) for log in done.stderr.split(_NEXT)[1:]]


def allocated_by_log(log: str) -> Allocated:
    """The buffers that a log tells of."""
    sums: Allocated = {}
    for match in _LINE.finditer(log):
        key = match["name"], _PARTS[match["kind"]]
        sums[key] = sums.get(key, 0.0) + float(match["mib"])
    return sums


def assert_within_5_percent(estimate: MemoryEstimate, truth: Allocated) -> None:
    """Each buffer of each part is predicted within 5 %, or the log's last digit; and so is their sum."""
    predicted: Allocated = {}
    for buffer in estimate.buffers:
        key = buffer.name, buffer.part
        predicted[key] = predicted.get(key, 0.0) + buffer.bytes / MIB
    for key in truth.keys() | predicted.keys():
        really, told = truth.get(key, 0.0), predicted.get(key, 0.0)
        assert abs(told - really) <= max(0.05 * really, 0.011), (key, told, really)
    total = sum(truth.values())
    assert abs(estimate.allocated / MIB - total) <= 0.05 * total


def _main() -> None:
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)
    llama_cpp.llama_backend_init()
    for model, n_ctx, type_k, type_v in json.load(sys.stdin):
        print(_NEXT, file=sys.stderr, flush=True)
        loaded = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.type_k, params.type_v, params.swa_full = n_ctx, type_k, type_v, False
        made = llama_cpp.llama_init_from_model(loaded, params)
        if not made:
            sys.exit(f"llama.cpp made no context for {model}")
        llama_cpp.llama_free(made)
        llama_cpp.llama_model_free(loaded)


if __name__ == "__main__":
    _main()
