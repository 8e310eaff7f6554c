"""llama.cpp's own `llama_model_quantize`, in a process of its own: the oracle for sizes, types and bytes.

Run as a program it answers jobs, one JSON document a line, so that an abort in native code is one failed
job and never the end of pytest.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from lqtui.recipe.file_types import FileType
from lqtui.recipe.types import TensorType

_LINE = re.compile(r"\[ *\d+/ *\d+\] ([\s\S]+?) +- \[[^]]*\], type = *(\w+), size = [^(\n]*(?:\((\w+)\))?")
_TOTAL = re.compile(r"quant size  = *([\d.]+ MiB \([\d.]+ BPW\))")


class Outcome(NamedTuple):
    """What llama.cpp did: whether it went through, each tensor's type (dry runs), the total, its log."""

    done: bool
    types: dict[str, TensorType]
    total: str
    log: str


class StockQuantizer:
    """Asks one child after the other; a child that dies answers its job with `done` false."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def dry_run(
        self,
        model: Path,
        file_type: FileType,
        patterns: Sequence[tuple[str, TensorType]] = (),
        *,
        weights: Mapping[str, Sequence[float]] | None = None,
    ) -> Outcome:
        """The types that llama-quantize would write, with `--tensor-type` patterns in this order."""
        return self._ask(model, Path("none"), file_type, patterns, dry_run=True, weights=weights)

    def write(
        self,
        model: Path,
        out: Path,
        file_type: FileType,
        patterns: Sequence[tuple[str, TensorType]] = (),
        *,
        requantize: bool = False,
        weights: Mapping[str, Sequence[float]] | None = None,
        keys: Mapping[str, bytes | int] | None = None,
    ) -> Outcome:
        """The file itself; an importance matrix comes as its weights and header keys."""
        given = {
            "weights": weights,
            "keys": {k: v.decode() if isinstance(v, bytes) else v for k, v in (keys or {}).items()},
        }
        return self._ask(model, out, file_type, patterns, dry_run=False, requantize=requantize, **given)

    def _ask(
        self,
        model: Path,
        out: Path,
        file_type: FileType,
        patterns: Sequence[tuple[str, TensorType]],
        *,
        dry_run: bool,
        requantize: bool = False,
        weights: Mapping[str, Sequence[float]] | None = None,
        keys: Mapping[str, str | int] | None = None,
    ) -> Outcome:
        child = self._child
        if child is None:
            child = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GGML_NO_BACKTRACE": "1"},
            )
            self._child = child
        job = {
            "model": str(model),
            "out": str(out),
            "file_type": file_type.number,
            "patterns": [(pattern, t.layout.number) for pattern, t in patterns],
            "dry_run": dry_run,
            "requantize": requantize,
            "weights": {name: [float(v) for v in values] for name, values in (weights or {}).items()},
            "keys": keys or {},
        }
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        if not answer:
            self.close()
            return Outcome(False, {}, "", "the process was aborted")
        document = json.loads(answer)
        log = document["log"]
        types = {name: TensorType((new or old).upper()) for name, old, new in _LINE.findall(log)}
        total = _TOTAL.search(log)
        return Outcome(document["code"] == 0, types, total[1] if total else "", log)


def exact_patterns(overrides: Mapping[str, TensorType]) -> list[tuple[str, TensorType]]:
    """One pattern for each name and nothing else: what a recipe's overrides mean."""
    return [(f"^{re.escape(name)}$", tensor_type) for name, tensor_type in overrides.items()]


def _serve(jobs: IO[str], answers: IO[str]) -> None:
    import ctypes

    import llama_cpp

    answers = os.fdopen(os.dup(answers.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where an abort prints its backtrace
    log: list[str] = []

    @llama_cpp.llama_log_callback
    def keep(_level: int, text: bytes, _user_data: object) -> None:
        log.append(text.decode("utf-8", "replace"))

    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    for line in jobs:
        job = json.loads(line)
        log.clear()
        params = llama_cpp.llama_model_quantize_default_params()
        params.nthread = 2
        params.ftype = job["file_type"]
        params.dry_run = job["dry_run"]
        params.allow_requantize = job["requantize"]
        if job["patterns"]:
            overrides = (llama_cpp.llama_model_tensor_override * (len(job["patterns"]) + 1))()
            for override, (pattern, number) in zip(overrides, job["patterns"], strict=False):
                override.pattern = pattern.encode()
                override.type = number
            params.tt_overrides = overrides
        if job["weights"]:
            matrix = (llama_cpp.llama_model_imatrix_data * (len(job["weights"]) + 1))()
            arrays = [(ctypes.c_float * len(values))(*values) for values in job["weights"].values()]
            for entry, name, values in zip(matrix, job["weights"], arrays, strict=False):
                entry.name, entry.data, entry.size = name.encode(), values, len(values)
            params.imatrix = matrix
        if job["keys"]:
            keys = (llama_cpp.llama_model_kv_override * (len(job["keys"]) + 1))()
            for override, (key, value) in zip(keys, job["keys"].items(), strict=False):
                override.key = key.encode()
                if isinstance(value, str):
                    override.tag, override.value.val_str = 3, value.encode()
                else:
                    override.tag, override.value.val_i64 = 0, value
            params.kv_overrides = keys
        code = llama_cpp.llama_model_quantize(job["model"].encode(), job["out"].encode(), params)
        print(json.dumps({"code": code, "log": "".join(log)}), file=answers, flush=True)


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
