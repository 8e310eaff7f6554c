"""`lqtui convert`."""

from __future__ import annotations

from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.store.paths import expanded
from lqtui.workbench import Job, Settings, Workbench
from lqtui.workbench.converting import OUT_TYPES, converted_name, convertible
from lqtui.worker.convert_messages import OutType


def parse_type(text: str) -> OutType:
    """The type that `--type` names."""
    found = next((out_type for out_type in OUT_TYPES if out_type == text.lower()), None)
    if found is None:
        output.fail(f"--type is one of F16, BF16, F32 and auto, and not {text!r}")
    return found


def convert(
    model: str, out: Path | None, out_type: OutType, converter: Path | None, trust_code: bool, json: bool
) -> None:
    """Convert a model in safetensors and say where its GGUF is."""

    async def run(bench: Workbench) -> tuple[Job, Path]:
        folder = Path(model)
        target = expanded(out or Path.cwd() / converted_name(convertible(folder), out_type))
        job = bench.convert(folder, target, out_type, converter=converter, trust_code=trust_code)
        return await followed(bench, job), target

    job, target = on_bench(Settings(), run)
    exit_unless_done(job)
    if json:
        output.print_json({"out": str(target), "file_bytes": target.stat().st_size})
    else:
        print(output.printable(job.message))
