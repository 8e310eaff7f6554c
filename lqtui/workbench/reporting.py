"""The report on what was measured of the open model."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from lqtui import __version__
from lqtui.export.chart_kind import ChartKind
from lqtui.export.depth_charts import BlockBar, Depth, LoweredLine, Lowering
from lqtui.export.report import Measured, Report, ReportFormat, written
from lqtui.recipe.recipe_file import format_recipe
from lqtui.system.meters import Meters
from lqtui.workbench.depth import WHOLE, DepthScores, depth_scores
from lqtui.workbench.experiment import LoweringExperiment
from lqtui.workbench.lowering import KEPT, Lowered
from lqtui.workbench.matrix_files import without_folders
from lqtui.workbench.solving import Solving
from lqtui.workbench.values import OpenModel, Result, WorkbenchError
from lqtui.workbench.wording import threads_said

_MIB = 1 << 20
_LEAST_PREDICTED = 1e-4
"""Nats that nobody would notice: what is predicted below would have most of an axis to itself."""
_TO_KNOW: Mapping[ChartKind | None, str] = {
    ChartKind.KLD: " of KLD; measure recipes with the base model beside them",
    ChartKind.PERPLEXITY: " of perplexity; measure recipes",
    ChartKind.SAME_TOP: " of same top tokens; measure recipes with the base model beside them",
    ChartKind.SPEED: " of speed; measure recipes with their speed",
    ChartKind.DEPTH: " by depth; measure or estimate what matters",
    ChartKind.LOWERING: " of lowered blocks; measure the lowering curves in the app",
}


class Reporting(Solving, LoweringExperiment):
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
        return Report(
            model.shape.name,
            self._facts(model),
            [_measured(r, model) for r in by_size],
            [
                (point.plan.file_bytes / _MIB, point.predicted_kld)
                for point in self.frontier
                if point.predicted_kld >= _LEAST_PREDICTED
            ],
            _depths(depth_scores(self.importance, model.shape)),
            [_lowering(lowered) for lowered in self.lowered.values() if lowered.curves],
        )

    def write_report(self, path: Path, only: ChartKind | None = None) -> None:
        """Write the report, in the form that the end of the file's name asks for; of charts, `only` some.

        Raises WorkbenchError where there is nothing to report, or no such chart.
        """
        form, report = report_format(path), self.report()
        if form in (ReportFormat.SVG, ReportFormat.PNG) and not report.figures(only):
            raise WorkbenchError(f"nothing is known for a chart{_TO_KNOW.get(only, '')}")
        self._write(path, written(report, form, only))

    def _facts(self, model: OpenModel) -> dict[str, str]:
        shape, settings = model.shape, self.settings
        gpus = ", ".join(gpu.name for gpu in Meters().read().gpus)
        layers = "all layers" if settings.gpu_layers < 0 else f"{settings.gpu_layers} layers"
        return {
            "model": f"{model.path.name}, {shape.architecture}, {shape.block_count} blocks, "
            f"{shape.n_weights:,} weights, SHA-256 {model.digest or 'unknown'}",
            "text": f"{self.corpus_name}, {self.chunks_wanted} chunks of {settings.n_ctx} tokens",
            "speed": f"pp{settings.n_prompt} and tg{settings.n_gen}, {settings.repetitions} repetitions, "
            f"{threads_said(settings)}",
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
        same_top_se=result.top1_agreement_se,
        prompt_tps=prompt.mean if prompt else None,
        prompt_tps_sd=prompt.sd if prompt else None,
        generation_tps=generation.mean if generation else None,
        generation_tps_sd=generation.sd if generation else None,
        chunks=result.chunks,
        recipe=format_recipe(without_folders(result.recipe), shape),
    )


def _depths(known: Sequence[DepthScores]) -> list[Depth]:
    """What whole blocks cost; of estimates what is of whole blocks too."""
    return [
        Depth(
            scores.described,
            [BlockBar(score.block, score.value, score.se or 0.0) for score in scores.blocks],
            scores.is_estimate,
        )
        for scores in known
        if scores.part == WHOLE
    ]


def _lowering(lowered: Lowered) -> Lowering:
    return Lowering(
        f"{lowered.to}{'' if lowered.is_whole else ', so far'}",
        [
            LoweredLine(
                curve.label,
                [(100 * point.share, 100 * point.kept, 100 * point.sd) for point in curve.points],
                curve.is_pruned,
            )
            for curve in lowered.curves
        ],
        100 * KEPT,
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
