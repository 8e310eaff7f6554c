"""`lqtui inspect`."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import on_bench
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.inspection import (
    BlockValues,
    Histogram,
    InspectedTensor,
    InspectedType,
    WeightStatistics,
    block_values,
)
from lqtui.recipe.rules import is_quantizable
from lqtui.recipe.shape import TensorInfo
from lqtui.recipe.types import TensorType, parse_type
from lqtui.tui.inspection_plots import draw_block, draw_histogram, legend
from lqtui.workbench import Settings, Workbench
from lqtui.worker.inspect_messages import InspectEvent, TensorInspected, TypeInspected

_DEFAULT_TYPES = (TensorType.Q4_0, TensorType.Q8_0, TensorType.F16)
_HEIGHT = 10
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class _Heard:
    """What came of the tensor and of the type."""

    tensors: list[InspectedTensor] = field(default_factory=list)
    types: list[InspectedType] = field(default_factory=list)

    def __call__(self, event: InspectEvent) -> None:
        match event:
            case TensorInspected():
                self.tensors.append(event.tensor)
            case TypeInspected():
                self.types.append(event.inspected)


def inspect(
    model: Path,
    name: str,
    wanted: str | None,
    block: int,
    chosen: Settings,
    imatrix: Path | None,
    requantize: bool,
    json: bool,
) -> None:
    """Look into a tensor, and print how its weights spread and what a type makes of them."""
    try:
        kind = parse_type(wanted) if wanted else None
    except RecipeError as error:
        output.fail(str(error))

    async def run(bench: Workbench) -> tuple[TensorInfo, _Heard, float | None, str]:
        await bench.open(model, requantize=requantize, fingerprint=False)
        await bench.use_imatrix(imatrix)
        tensor = bench.tensor_named(name)
        assert bench.model is not None
        types = [kind] if kind else []
        if kind is None and is_quantizable(bench.model.shape, tensor):
            types = [each for each in _DEFAULT_TYPES if not bench.why_not(tensor, each)][:1]
        heard = _Heard()
        await bench.inspect(tensor, types, heard, block=block)
        await bench.recall_estimates()
        weighted = bench.weighted_error(tensor.name, types[0]) if types else None
        return tensor, heard, weighted, bench.model.shape.name

    tensor, heard, weighted, of_model = on_bench(chosen, run)
    (read,), inspected = heard.tensors, heard.types[0] if heard.types else None
    seen = block_values(read, inspected, block) if inspected else None
    if json:
        output.print_json(_document(tensor, read, inspected, seen, weighted))
        return
    dimensions = " × ".join(f"{extent}" for extent in tensor.ne)
    print(
        output.shown(
            f"{tensor.name} of {of_model}: {dimensions}, {tensor.type}, {tensor.n_weights:,} weights"
        )
    )
    _print_statistics(read.statistics)
    if inspected is not None:
        _print_type(tensor, inspected, weighted)
    if inspected is not None and seen is not None:
        _print_block(tensor, inspected, seen)


# -- for scripts


def _document(
    tensor: TensorInfo,
    read: InspectedTensor,
    inspected: InspectedType | None,
    seen: BlockValues | None,
    weighted: float | None,
) -> dict[str, object]:
    found = read.statistics
    return {
        "tensor": tensor.name,
        "shape": list(tensor.ne),
        "type": tensor.type.value,
        "weights": found.weights,
        "mean": found.mean,
        "sd": found.deviation,
        "min": found.least,
        "max": found.greatest,
        "excess_kurtosis": found.excess_kurtosis,
        "outliers": found.outliers,
        "histogram": _histogram_document(found.histogram),
        "quantized": _type_document(inspected, weighted) if inspected else None,
        "block": _block_document(tensor, seen) if seen else None,
    }


def _histogram_document(of: Histogram | None) -> dict[str, object] | None:
    if of is None:
        return None
    return {"low": of.low, "high": of.high, "counts": of.counts, "below": of.below, "above": of.above}


def _type_document(inspected: InspectedType, weighted: float | None) -> dict[str, object]:
    error = inspected.error
    return {
        "type": inspected.type.value,
        "bits_per_weight": inspected.type.bits_per_weight,
        "rmse": error.rmse,
        "rms_before": error.signal,
        "relative_error": error.relative,
        "max_error": error.greatest,
        "snr_db": error.snr if math.isfinite(error.snr) else None,
        "weighted_error": weighted,
        "weights_in_block": inspected.run or None,
        "scales": _histogram_document(inspected.spread),
    }


def _block_document(tensor: TensorInfo, seen: BlockValues) -> dict[str, object]:
    first = seen.number * len(seen.weights)
    return {
        "number": seen.number,
        "row": first // tensor.columns,
        "column": first % tensor.columns,
        "levels": list(seen.levels),
        "levels_are": "decoded" if seen.are_decoded else "those that occur",
        "scale": seen.scale if seen.are_decoded else None,
        "minimum": seen.minimum if seen.are_decoded else None,
        "weights": list(seen.weights),
        "values": list(seen.values),
    }


# -- for people


def _print_statistics(found: WeightStatistics) -> None:
    print(
        f"mean {found.mean:.3g}, standard deviation {found.deviation:.4g}, from {found.least:.4g} to "
        f"{found.greatest:.4g}"
    )
    print(
        f"excess kurtosis {found.excess_kurtosis:.2f} (normal: 0), "
        f"{100 * found.outlier_share:.2f} % beyond 3 deviations (normal: 0.27 %)"
    )
    of = found.histogram
    beyond = f"; {of.below + of.above:,} lie beyond" if of.below or of.above else ""
    print(f"\nweights within 4 deviations{beyond}:")
    _plot_histogram(of)


def _print_type(tensor: TensorInfo, inspected: InspectedType, weighted: float | None) -> None:
    error, kind = inspected.error, inspected.type
    print(f"\n{tensor.type} → {kind}, {kind.bits_per_weight:.4g} bits per weight:")
    rows = [["", "before", f"as {kind}"]]
    rows.append(["root mean square", f"{error.signal:.5g}", ""])
    rows.append(["error, root mean square", "0", f"{error.rmse:.5g}"])
    rows.append(["error, relative", "0", f"{100 * error.relative:.3f} %"])
    rows.append(["error, greatest", "0", f"{error.greatest:.5g}"])
    rows.append(["signal to noise", "∞", f"{error.snr:.1f} dB" if math.isfinite(error.snr) else "∞"])
    if weighted is not None:
        rows.append(["error of the output, estimated", "0", f"{100 * weighted:.3f} %"])
    output.print_table(rows)


def _print_block(tensor: TensorInfo, inspected: InspectedType, seen: BlockValues) -> None:
    first = seen.number * inspected.run
    where = f"row {first // tensor.columns}, columns {first % tensor.columns} to "
    where += f"{first % tensor.columns + inspected.run - 1}"
    print(f"\nblock {seen.number} of {tensor.n_weights // inspected.run:,} ({where}): {described(seen)}")
    _plot_block(seen)
    print(legend(seen))
    if inspected.spread is not None:
        what = "scales" if seen.are_decoded else "greatest values"
        print(f"\n{what} of all blocks:")
        _plot_histogram(inspected.spread)


def described(seen: BlockValues) -> str:
    """The values that a block has for its weights, in words."""
    if not seen.are_decoded:
        return f"{len(seen.levels)} different values occur"
    minimum = f", minimum {seen.minimum:.4g}" if seen.minimum else ""
    return f"scale {seen.scale:.4g}{minimum}; {len(seen.used)} of {len(seen.levels)} values in use"


def _plot_histogram(of: Histogram) -> None:
    import plotext

    _print_plot(draw_histogram(plotext, of, (_width(), _HEIGHT)))


def _plot_block(seen: BlockValues) -> None:
    import plotext

    _print_plot(draw_block(plotext, seen, (_width(), _HEIGHT + 2)))


def _width() -> int:
    return max(40, min(100, shutil.get_terminal_size((80, 24)).columns))


def _print_plot(drawn: str) -> None:
    for line in _ANSI.sub("", drawn).splitlines():
        print(line.rstrip())
