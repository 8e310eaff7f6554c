"""Models in safetensors, made into GGUF files in the background by llama.cpp's own converter."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from lqtui.store.checkpoint import Checkpoint, read_checkpoint
from lqtui.store.errors import StoreError
from lqtui.store.files import format_size
from lqtui.store.paths import expanded
from lqtui.workbench.asked import AskedConversion
from lqtui.workbench.jobs import RunningJob
from lqtui.workbench.model_file import protect_model
from lqtui.workbench.running import Running
from lqtui.workbench.values import CONVERSION, Job, WorkbenchError
from lqtui.worker.client import run_task
from lqtui.worker.convert_messages import Convert, OutType

OUT_TYPES: tuple[OutType, ...] = get_args(OutType)


class Converting(Running):
    """The part of the workbench that makes base models; no model need be open for it."""

    def convert(
        self,
        folder: Path,
        out: Path,
        out_type: OutType = "f16",
        *,
        converter: Path | None = None,
        trust_code: bool = False,
    ) -> Job:
        """Convert a model in safetensors in the background.

        `converter` is llama.cpp's script or a checkout that has it; without one it is looked for. Python that
        comes with the model is run only with `trust_code`.
        """
        folder, out = expanded(folder), expanded(out)
        if self.model is not None:
            protect_model(self.model.path, out)

        async def work(running: RunningJob) -> str:
            task = Convert(folder, out, out_type, expanded(converter) if converter else None, trust_code)
            done = await run_task(task, running.log, running.progress_of, running.started)
            assert done.bytes is not None
            return f"{format_size(done.bytes)} in {out}"

        asked = AskedConversion(folder, out, out_type, converter, trust_code)
        return self._add_job(CONVERSION, f"convert {folder.name}", work, asked=asked)


def convertible(folder: Path) -> Checkpoint:
    """What a folder holds in safetensors; WorkbenchError where that is no whole model."""
    try:
        return read_checkpoint(expanded(folder))
    except StoreError as error:
        raise WorkbenchError(str(error).removesuffix(".")) from None


def converted_name(checkpoint: Checkpoint, out_type: OutType) -> str:
    """What the GGUF file of a model is called unless somebody says otherwise."""
    kept = "BF16" if checkpoint.dtype == "BF16" else "F16"
    return f"{checkpoint.name}-{kept if out_type == 'auto' else out_type.upper()}.gguf"
