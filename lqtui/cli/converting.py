"""`lqtui convert`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.store.files import format_size
from lqtui.store.paths import expanded
from lqtui.workbench import Job, Settings, Workbench, WorkbenchError
from lqtui.workbench.converting import OUT_TYPES, converted_name, convertible
from lqtui.worker.convert_messages import OutType

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


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
        if _REPOSITORY.fullmatch(model) and not folder.exists():
            job, found = await _download(bench, model)
            if found is None:
                return job, folder
            folder = found
        target = expanded(out or Path.cwd() / converted_name(convertible(folder), out_type))
        job = bench.convert(folder, target, out_type, converter=converter, trust_code=trust_code)
        return await followed(bench, job), target

    job, target = on_bench(Settings(), run, "stopped; what was downloaded so far is kept")
    exit_unless_done(job)
    if json:
        output.print_json({"out": str(target), "file_bytes": target.stat().st_size})
    else:
        print(output.shown(job.message))


async def _download(bench: Workbench, name: str) -> tuple[Job, Path | None]:
    """Have a repository's model in safetensors in the Hub's cache; its folder, None where that failed."""
    try:
        repository = await bench.list_repository(name)
    except WorkbenchError as error:
        raise WorkbenchError(f"there is no folder {name} here, and on the Hub: {error}") from None
    model = repository.checkpoint
    if model is None:
        raise WorkbenchError(
            f"{name} has no model in safetensors; `lqtui models list {name}` tells what it has"
        )
    if not model.here:
        told = f"{format_size(model.to_come)} to download, {format_size(repository.free_bytes)} free"
        print(output.shown(f"{name}: {told} in {repository.cache}"), file=sys.stderr)
    job = await followed(bench, bench.pull(repository, model))
    path = bench.pulled(job)
    return job, path.parent if path else None
