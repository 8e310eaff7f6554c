"""The report on what was measured of the open model."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from lqtui import __version__
from lqtui.export.report import Measured, Report, ReportFormat, written
from lqtui.recipe.recipe_file import format_recipe
from lqtui.system.meters import Meters
from lqtui.workbench.matrix_files import without_folders
from lqtui.workbench.running import Running
from lqtui.workbench.values import OpenModel, Result, WorkbenchError


class Reporting(Running):
    """The part of the workbench that reports."""

    def report(self) -> Report:
        """All results under the current settings, from the smallest file on, and what they are of.

        Raises WorkbenchError where there is none.
        """
        model, settings = self._open_model(), self.settings
        whole = [result for result in self.results if not result.partial]
        if not whole:
            raise WorkbenchError(
                f"nothing is measured of {model.shape.name} on {self.corpus_name} in {settings.chunks} "
                f"chunks of {settings.n_ctx} yet; measure recipes first"
            )
        by_size = sorted(whole, key=lambda result: (result.file_bytes, result.title))
        return Report(model.shape.name, self._facts(model), [_measured(r, model) for r in by_size])

    def write_report(self, path: Path) -> None:
        """Write the report, in the form that the end of the file's name asks for."""
        self._write(path, written(self.report(), report_format(path)))

    def _facts(self, model: OpenModel) -> dict[str, str]:
        shape, settings = model.shape, self.settings
        gpus = ", ".join(gpu.name for gpu in Meters().read().gpus)
        layers = "all layers" if settings.gpu_layers < 0 else f"{settings.gpu_layers} layers"
        return {
            "model": f"{model.path.name}, {shape.architecture}, {shape.block_count} blocks, "
            f"{shape.n_weights:,} weights, SHA-256 {model.digest or 'unknown'}",
            "text": f"{self.corpus_name}, {self.chunks_wanted} chunks of {settings.n_ctx} tokens",
            "speed": f"pp{settings.n_prompt} and tg{settings.n_gen}, {settings.repetitions} repetitions, "
            f"{settings.threads_used} threads",
            "llama.cpp": model.engine,
            "lqtui": __version__,
            "machine": f"{_processor()}, {os.cpu_count()} logical cores, "
            f"{psutil.virtual_memory().total / 2**30:.1f} GiB RAM",
            "GPU": f"{gpus}, {layers} offloaded" if gpus else "none",
            "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        }


def report_format(path: Path) -> ReportFormat:
    """The form that a file's name asks for; WorkbenchError where it asks for none."""
    try:
        return ReportFormat({".htm": ".html"}.get(path.suffix.lower(), path.suffix.lower()))
    except ValueError:
        known = ", ".join(ReportFormat)
        raise WorkbenchError(f"{path.name} does not tell its form; end its name with {known}") from None


def _measured(result: Result, model: OpenModel) -> Measured:
    shape = model.shape
    prompt, generation = result.prompt, result.generation
    return Measured(
        name=result.title,
        file_bytes=result.file_bytes,
        bits_per_weight=result.bits_per_weight,
        compression=shape.file_bytes / result.file_bytes,
        kld=result.kld,
        kld_se=result.kld_se,
        perplexity=result.perplexity,
        perplexity_se=result.perplexity_se,
        delta_percent=result.delta_percent,
        delta_percent_se=result.delta_percent_se,
        same_top=result.top1_agreement,
        prompt_tps=prompt.mean if prompt else None,
        prompt_tps_sd=prompt.sd if prompt else None,
        generation_tps=generation.mean if generation else None,
        generation_tps_sd=generation.sd if generation else None,
        chunks=result.chunks,
        recipe=format_recipe(without_folders(result.recipe), shape),
    )


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
