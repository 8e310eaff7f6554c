"""What was measured of a model as a document: Markdown, HTML, CSV, or its charts alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from html import escape
from itertools import count

from lqtui.export.chart import ChartPoint, TradeOff, mark, text_chart, trade_off_figure
from lqtui.export.chart_kind import ChartKind
from lqtui.export.depth_charts import Depth, Lowering, depth_figure, lowering_figure
from lqtui.export.figure import Figure, svg
from lqtui.export.png import png
from lqtui.recipe.printable import printable

_MIB = 1 << 20


class ReportFormat(StrEnum):
    """A form of the report, by the end of its file's name."""

    MARKDOWN = ".md"
    HTML = ".html"
    CSV = ".csv"
    SVG = ".svg"
    PNG = ".png"


@dataclass(frozen=True)
class Measured:
    """What was measured of one recipe; None where it was not. Speeds are tokens per second with their SD."""

    name: str
    file_bytes: int
    bits_per_weight: float
    compression: float
    """How many times smaller than the base model's file."""
    kld: float | None
    kld_se: float | None
    perplexity: float | None
    perplexity_se: float | None
    delta_percent: float | None
    delta_percent_se: float | None
    same_top: float | None
    same_top_se: float | None
    prompt_tps: float | None
    prompt_tps_sd: float | None
    generation_tps: float | None
    generation_tps_sd: float | None
    chunks: int
    recipe: str
    """The recipe as TOML."""


@dataclass(frozen=True)
class Report:
    """A model's results, from the smallest file on; and what they were measured on."""

    model: str
    facts: Mapping[str, str]
    """What is to know about model, text and machine, in order."""
    measured: Sequence[Measured]
    predicted: Sequence[tuple[float, float]] = ()
    """MiB and predicted KLD of the best recipe of each size."""
    depths: Sequence[Depth] = ()
    lowerings: Sequence[Lowering] = ()

    @property
    def has_kld(self) -> bool:
        """Whether any recipe was compared with the base model."""
        return any(row.kld is not None for row in self.measured)

    @property
    def points(self) -> list[ChartPoint]:
        """The chart's points: KLD against size, or perplexity where nothing was compared with the base."""
        return [point for row in self.measured if (point := self.point(row))]

    def point(self, row: Measured) -> ChartPoint | None:
        """A recipe's place on the chart, None where it has none."""
        y, error = (row.kld, row.kld_se) if self.has_kld else (row.perplexity, row.perplexity_se)
        if y is None or not math.isfinite(y):
            return None
        return ChartPoint(row.name, row.file_bytes / _MIB, y, _finite(error))

    @property
    def quality(self) -> str:
        """What the chart's upright axis is."""
        return "KL divergence from the base model, nats" if self.has_kld else "perplexity"

    def figures(self, only: ChartKind | None = None) -> list[Figure]:
        """The charts that there is something for, or those of one kind."""
        found: list[tuple[ChartKind, Figure]] = []
        for kind, (quality, axis, value_of, more_is_better) in _TRADE_OFFS.items():
            values = [(row, *value_of(row)) for row in self.measured]
            points = [
                ChartPoint(row.name, row.file_bytes / _MIB, value, _finite(error))
                for row, value, error in values
                if value is not None and math.isfinite(value)
            ]
            predicted = self.predicted if kind is ChartKind.KLD else ()
            if points:
                chart = TradeOff(quality, axis, points, more_is_better, predicted)
                found.append((kind, trade_off_figure(chart)))
        found += [(ChartKind.DEPTH, depth_figure(depth)) for depth in self.depths]
        found += [(ChartKind.LOWERING, lowering_figure(lowering)) for lowering in self.lowerings]
        return [figure for kind, figure in found if only in (None, kind)]


_Estimate = tuple[float | None, float | None]


def _same_top(row: Measured) -> _Estimate:
    percent = None if row.same_top is None else 100 * row.same_top
    return percent, None if row.same_top_se is None else 100 * row.same_top_se


def _paired_error(row: Measured) -> float | None:
    """The error of a perplexity beside the base model's on the same text, which both share the chance of."""
    if row.perplexity is None or row.delta_percent is None or row.delta_percent_se is None:
        return row.perplexity_se
    return row.perplexity / (1 + row.delta_percent / 100) * row.delta_percent_se / 100


_TRADE_OFFS: Mapping[ChartKind, tuple[str, str, Callable[[Measured], _Estimate], bool]] = {
    ChartKind.KLD: (
        "KL divergence from the base model",
        "KLD in nats",
        lambda row: (row.kld, row.kld_se),
        False,
    ),
    ChartKind.PERPLEXITY: (
        "perplexity",
        "perplexity (± paired with the base)",
        lambda row: (row.perplexity, _paired_error(row)),
        False,
    ),
    ChartKind.SAME_TOP: ("same top token as the base model", "same top token, %", _same_top, True),
    ChartKind.SPEED: (
        "speed of generation",
        "tokens/s",
        lambda row: (row.generation_tps, row.generation_tps_sd),
        True,
    ),
}


def _finite(error: float | None) -> float:
    return error if error is not None and math.isfinite(error) else 0.0


_NOTES = (
    "Errors are standard errors over tokens, as llama-perplexity prints them; of speeds, deviations (SD).",
    "Sizes are those of the GGUF files.",
)


def written(report: Report, form: ReportFormat, only: ChartKind | None = None) -> str | bytes:
    """A report in some form; as a picture all its charts one below the other, or those of one kind."""
    match form:
        case ReportFormat.MARKDOWN:
            return _markdown(report)
        case ReportFormat.HTML:
            return _html(report)
        case ReportFormat.CSV:
            return _csv(report)
        case ReportFormat.SVG:
            return svg(report.figures(only)) + "\n"
        case ReportFormat.PNG:
            return png(svg(report.figures(only)))


def _markdown(report: Report) -> str:
    heads, rows = _table(report)
    lines = [
        f"# {_inline(report.model)}, quantized",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---|---|" + "---:|" * (len(heads) - 1),
        *(
            f"| {letter} | " + " | ".join([_inline(row[0]), *row[1:]]) + " |"
            for letter, row in zip(_letters(report), rows, strict=True)
        ),
        "",
        *_NOTES,
    ]
    if report.points:
        lines += ["", "```text", text_chart(report.points, report.quality), "```"]
    lines += ["", "## Measured on", ""]
    lines += [f"- {name}: {_inline(value)}" for name, value in report.facts.items()]
    lines += ["", "## Recipes"]
    for row in report.measured:
        fence = "`" * max(3, _longest_run(row.recipe) + 1)
        lines += ["", f"{fence}toml", _lines(row.recipe).rstrip("\n"), fence]
    return "\n".join(lines) + "\n"


_STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; margin: 1.5rem 0; }
pre { overflow-x: auto; padding: .7rem; border: 1px solid #8884; border-radius: .4rem; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem; }"""


def _html(report: Report) -> str:
    heads, rows = _table(report)
    title = f"{escape(printable(report.model))}, quantized"
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(printable(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    facts = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(printable(value))}</dd>" for name, value in report.facts.items()
    )
    recipes = "\n".join(
        f"<details><summary>{escape(printable(row.name))}</summary><pre>{escape(_lines(row.recipe))}</pre></details>"
        for row in report.measured
    )
    charts = "\n".join(svg([figure], color=None) for figure in report.figures())
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
{_STYLE}
</style></head>
<body>
<h1>{title}</h1>
{charts}
<table><thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table>
<p>{"<br>".join(escape(note) for note in _NOTES)}</p>
<h2>Measured on</h2>
<dl>
{facts}
</dl>
<h2>Recipes</h2>
{recipes}
</body>
</html>
"""


def _csv(report: Report) -> str:
    """One line a recipe, every number in full; a cell that a spreadsheet would run is kept a text."""
    out = io.StringIO()
    names = [field.name for field in fields(Measured) if field.name != "recipe"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in report.measured:
        cells = [getattr(row, name) for name in names]
        writer.writerow([_no_formula(printable(cell)) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The columns that something is known for, and a row for each recipe."""
    rows = report.measured
    columns: list[tuple[str, list[str]]] = [
        ("recipe", [row.name for row in rows]),
        ("MiB", [f"{row.file_bytes / _MIB:.1f}" for row in rows]),
        ("bpw", [f"{row.bits_per_weight:.2f}" for row in rows]),
        ("× smaller", [f"{row.compression:.2f}" for row in rows]),
        ("KLD", [_with_error(row.kld, row.kld_se, 5) for row in rows]),
        ("PPL", [_with_error(row.perplexity, row.perplexity_se, 4) for row in rows]),
        ("ΔPPL %", [_with_error(row.delta_percent, row.delta_percent_se, 2) for row in rows]),
        ("same top", ["–" if row.same_top is None else f"{row.same_top:.1%}" for row in rows]),
        ("pp t/s", [_with_error(row.prompt_tps, row.prompt_tps_sd, 1) for row in rows]),
        ("tg t/s", [_with_error(row.generation_tps, row.generation_tps_sd, 1) for row in rows]),
    ]
    if len({row.chunks for row in rows}) > 1:
        columns.append(("chunks", [str(row.chunks) for row in rows]))
    known = [(head, cells) for head, cells in columns if any(cell != "–" for cell in cells)]
    return [head for head, _ in known], [list(row) for row in zip(*(c for _, c in known), strict=True)]


def _with_error(value: float | None, error: float | None, digits: int) -> str:
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN"
    known = error is not None and math.isfinite(error)
    return f"{value:.{digits}f} ± {error:.{digits}f}" if known else f"{value:.{digits}f}"


def _letters(report: Report) -> list[str]:
    """Each recipe's letter in the text chart, none for what has no place on it."""
    numbers = count()
    return [mark(next(numbers)) if report.point(row) else "" for row in report.measured]


def _inline(text: str) -> str:
    """Text that Markdown takes for nothing but text, in a table too."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~" else c for c in printable(text))


def _lines(text: str) -> str:
    return printable(text, keep="\n")


def _longest_run(text: str) -> int:
    """The longest run of backticks."""
    longest = run = 0
    for c in text:
        run = run + 1 if c == "`" else 0
        longest = max(longest, run)
    return longest
