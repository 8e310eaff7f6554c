"""How the command line speaks: tables and JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.memory import Part, kv_types_name
from lqtui.recipe.printable import printable, printable_json
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.recipe import Plan
from lqtui.recipe.rules import quantizable_tensors
from lqtui.workbench import Fit, Job, JobState

MIB = 1 << 20
_BAR = 24
_REDRAWN_SECONDS = 0.1


def fail(sentence: str, code: int = 2) -> NoReturn:
    """Say what is wrong on standard error and exit: 2 for usage and bad input, 1 for a job that failed."""
    print("lqtui:", shown(" ".join(sentence.splitlines())), file=sys.stderr)
    sys.exit(code)


def note(sentence: str) -> None:
    """Say on standard error what the person may not expect."""
    print("lqtui:", shown(" ".join(sentence.splitlines())), file=sys.stderr)


def shown(text: str) -> str:
    """Lines of text as they can be printed: names come from strangers' files."""
    return printable(text, keep="\n")


def parse_size(text: str) -> int:
    """Bytes of a size such as 2GiB, 500MB or 1000."""
    units = {"": 1, "B": 1}
    units |= {f"{letter}IB": 1 << 10 * (i + 1) for i, letter in enumerate("KMGT")}
    units |= {f"{letter}B": 1000 ** (i + 1) for i, letter in enumerate("KMGT")}
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in units:
        fail(f"cannot read the size {text!r}; write for example 2GiB")
    return int(float(match[1]) * units[match[2].upper()])


def print_json(document: object) -> None:
    """Print one JSON document on standard output; paths that are no Unicode are in it as Python has them.

    What a terminal would obey can only be within its texts, and is written there by its number.
    """
    try:
        text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(document), indent=1).encode()
    text = printable_json(text.decode()).encode()
    sys.stdout.buffer.write(text + b"\n")  # JSON is UTF-8, whatever the terminal's encoding is
    sys.stdout.buffer.flush()


def print_table(rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows, the first of them headings, in columns: the first `left` are aligned to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(printable("  ".join(cells)).rstrip())


def plan_document(plan: Plan, fit: Fit) -> dict[str, object]:
    """A plan as `lqtui plan --json` prints it."""
    return {
        "name": plan.recipe.name,
        "description": plan.recipe.description,
        "model": plan.shape.name,
        "base": plan.file_type.value,
        "imatrix": _named(plan.recipe.imatrix),
        "file": _named(plan.recipe.file),
        "copied": [planned.name for planned in plan.copied],
        "file_bytes": plan.file_bytes,
        "bits_per_weight": plan.bits_per_weight,
        "needs_imatrix": [planned.name for planned in plan.missing_imatrix],
        "tensors": [
            {
                "name": planned.name,
                "requested": planned.requested.value,
                "effective": planned.effective.value,
                "bytes": planned.bytes,
                "fallback": planned.fell_back,
            }
            for planned in plan.tensors
        ],
        "memory": _memory_document(fit),
    }


def _named(file: Imatrix | QuantizedFile | None) -> dict[str, object] | None:
    return {"path": file.path, "sha256": file.sha256} if file else None


def _memory_document(fit: Fit) -> dict[str, object]:
    """The memory that a plan needs: `allocated_bytes` is what llama.cpp's own log adds up to."""
    memory = fit.memory
    return {
        "n_ctx": fit.n_ctx,
        "type_k": fit.type_k.value,
        "type_v": fit.type_v.value,
        "problem": fit.problem or None,
        "needed_bytes": memory and memory.needed,
        "allocated_bytes": memory and memory.allocated,
        "file_cache_bytes": memory and memory.file_cache,
        "buffers": list(memory.buffers) if memory else [],
    }


def print_plan(plan: Plan, fit: Fit) -> None:
    """A plan for people: the sum, the memory, then a row for each block with the types of its tensors."""
    print(shown(f"{plan.recipe.name} on {plan.shape.name}: {plan.recipe.description or plan.file_type}"))
    whole = f"{plan.file_bytes:,} bytes ({plan.file_bytes / MIB:.1f} MiB)"
    print(f"{whole}, {plan.bits_per_weight:.2f} bits per weight")
    print(shown(_memory_line(fit)))
    if plan.recipe.imatrix is not None:
        weighed = sum(bool(planned.imatrix) for planned in plan.tensors)
        print(shown(f"importance matrix {plan.recipe.imatrix.name}: weighs {weighed} tensors"))
    if plan.recipe.file is not None:
        print(shown(f"{len(plan.copied)} tensors are copied from {plan.recipe.file.name}"))
    free = quantizable_tensors(plan.shape)
    roles = list(dict.fromkeys(t.role for t in free if t.block is not None))
    rows = [["", *roles, "MiB"]]
    for tensor in free:
        if tensor.block is None:
            planned = plan.by_name[tensor.name]
            blanks = [""] * (len(roles) - 1)
            rows.append([tensor.role, _shown(plan, tensor.name), *blanks, f"{planned.bytes / MIB:.1f}"])
    for block in range(plan.shape.block_count):
        names = {t.role: t.name for t in free if t.block == block}
        size = sum(plan.by_name[name].bytes for name in names.values())
        types = [_shown(plan, names[role]) if role in names else "" for role in roles]
        rows.append([f"blk.{block}", *types, f"{size / MIB:.1f}"])
    print()
    print_table(rows)
    if any(planned.fell_back for planned in plan.tensors):
        print(
            "\n* llama.cpp falls back to this type: the tensor's rows do not divide into the blocks asked for"
        )
    if plan.missing_imatrix:
        lacking = ", ".join(sorted({planned.effective for planned in plan.missing_imatrix}))
        print(f"\nneeds an importance matrix: {lacking} ({len(plan.missing_imatrix)} tensors)")


def _memory_line(fit: Fit) -> str:
    """What the memory is needed for, part by part; weights that lie in two buffers count once."""
    context = f"a context of {fit.n_ctx} ({kv_types_name(fit.type_k, fit.type_v)} KV cache)"
    memory = fit.memory
    if memory is None:
        return f"memory at {context}: unknown: {fit.problem}"
    sums = {part: memory.of(part=part) for part in Part}
    sums[Part.WEIGHTS] -= memory.file_cache
    parts = ", ".join(f"{part} {n_bytes / MIB:.1f}" for part, n_bytes in sums.items() if n_bytes)
    where = f", {memory.on_gpus / MIB:.1f} of it on the GPU" if memory.on_gpus else ""
    cache = f"; {memory.file_cache / MIB:.1f} more of file cache" if memory.file_cache else ""
    return f"memory at {context}: about {memory.needed / MIB:.1f} MiB{where} ({parts}{cache})"


def _shown(plan: Plan, name: str) -> str:
    planned = plan.by_name[name]
    return planned.effective.value + ("*" if planned.fell_back else "")


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with so many digits behind the point; a dash where it is not known."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def error(value: float | None, digits: int) -> str:
    """A standard error; a dash where too little was measured to know it."""
    return "–" if value == math.inf else number(value, digits)


class ProgressLine:
    """One line on standard error that follows a job; on a file, a line for each new stage."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ("", 0)
        self._noticed = ""
        self._last = 0.0

    def show(self, job: Job) -> None:
        """Show where a running job is: a new stage at once, else ten times a second at most."""
        if job.notice != self._noticed:
            self._noticed = job.notice
            self.end()
            print(shown(f"{job.title}: {job.notice}"), file=sys.stderr)
        if job.state is not JobState.RUNNING or not job.stage:
            return
        now, stage = time.monotonic(), (job.stage, job.stage_number)
        is_new, self._shown = stage != self._shown, stage
        if not self._terminal:
            if is_new:
                print(shown(f"{job.title}: {job.stage}"), file=sys.stderr)
            return
        if is_new or now - self._last >= _REDRAWN_SECONDS or job.stage_fraction == 1:
            self._last = now
            sys.stderr.write(f"\r\x1b[K{shown(_progress(job))}")
            sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _progress(job: Job) -> str:
    """How far a running job is with its stage."""
    filled = round(_BAR * job.stage_fraction)
    bar = "█" * filled + "░" * (_BAR - filled)
    count = f"{job.done}/{job.total}" if job.total else f"{job.done}"
    rate = f"  {job.rate / MIB:.1f} MiB/s" if job.rate is not None else ""
    left = f"  {job.eta:.0f} s left" if job.eta is not None else ""
    return f"{bar} {job.stage} {count} {job.unit}{rate}{left}"
