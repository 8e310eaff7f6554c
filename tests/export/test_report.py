"""The report says what was measured, in each form, whatever names strangers chose."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lqtui.export.chart import ChartPoint, TradeOff, axes, text_chart, trade_off_figure
from lqtui.export.chart_kind import ChartKind
from lqtui.export.depth_charts import BlockBar, Depth, LoweredLine, Lowering
from lqtui.export.figure import svg
from lqtui.export.png import png
from lqtui.export.report import Measured, Report, ReportFormat, written

ROW = Measured(
    name="first_4",
    file_bytes=100 << 20,
    bits_per_weight=5.5,
    compression=2.5,
    kld=0.2,
    kld_se=0.01,
    perplexity=19.5,
    perplexity_se=1.5,
    delta_percent=3.0,
    delta_percent_se=0.4,
    same_top=0.75,
    same_top_se=0.01,
    prompt_tps=600.0,
    prompt_tps_sd=5.0,
    generation_tps=None,
    generation_tps_sd=None,
    chunks=5,
    recipe='name = "first_4"\nbase = "Q4_0"\n',
)
HOSTILE = "<script>alert(1)</script>|`x`\x1b[31m\u202e=cmd()"


def report(*names: str) -> Report:
    rows = [replace(ROW, name=name, file_bytes=(100 + 9 * i) << 20) for i, name in enumerate(names)]
    return Report("SmolLM2", {"text": "wikitext-2, 5 chunks of 512"}, rows)


class Visible(HTMLParser):
    """The tags and the text of a document, and whether every tag is closed."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("form", list(ReportFormat))
def test_every_form_names_recipes_and_numbers(form: ReportFormat) -> None:
    text = written(report("first_4", "last_4"), form)
    if isinstance(text, bytes):
        assert text.startswith(b"\x89PNG")
        return
    assert "last" in text and text.endswith("\n")
    if form is not ReportFormat.SVG:
        assert re.search(r"19\.5", text) and re.search(r"0\.2", text)


def test_html_shows_strange_names_as_text() -> None:
    document = Visible()
    document.feed(written(report("plain", HOSTILE), ReportFormat.HTML))
    assert not document.open and "script" not in document.tags
    assert "alert(1)" in document.text
    assert "\x1b" not in document.text and "\u202e" not in document.text


def test_markdown_keeps_strange_names_in_their_cells() -> None:
    text = written(report("plain", HOSTILE), ReportFormat.MARKDOWN)
    table = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert len(bars) == 1, table
    assert "\x1b" not in text.split("## Recipes")[0]


def test_a_letter_of_the_text_chart_belongs_to_one_recipe_though_two_have_one_name() -> None:
    rows = [ROW, replace(ROW, kld=None), replace(ROW, kld=0.3, file_bytes=109 << 20)]
    text = written(Report("m", {}, rows), ReportFormat.MARKDOWN)
    letters = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert letters[2:] == ["a", "", "b"]


def test_csv_reads_back_in_full_and_runs_nothing() -> None:
    rows = list(csv.DictReader(io.StringIO(written(report("first_4", "=cmd()"), ReportFormat.CSV))))
    assert float(rows[0]["kld"]) == 0.2 and int(rows[0]["file_bytes"]) == 100 << 20
    assert rows[0]["generation_tps"] == "" and rows[1]["name"] == "'=cmd()"


@pytest.mark.parametrize("form", [f for f in ReportFormat if f is not ReportFormat.PNG])
def test_no_form_has_what_a_terminal_obeys(form: ReportFormat) -> None:
    strange = "a\x1b]0;x\x07\x9b2J\u202e\r"
    one = replace(ROW, name=strange, recipe=f'name = "{strange}"\n')
    text = written(Report(strange, {"text": strange}, [one]), form)
    assert isinstance(text, str) and {c for c in text if not c.isprintable()} <= {"\n", "\u00a0"}


def test_a_recipe_of_backticks_stays_in_its_fence() -> None:
    one = replace(ROW, recipe='name = "````"\n')
    text = written(Report("m", {}, [one]), ReportFormat.MARKDOWN)
    assert "`````toml\nname" in text and text.rstrip().endswith("`````")


def test_the_picture_is_a_document_with_a_point_and_a_name_for_each() -> None:
    points = [ChartPoint(f"recipe {i}", 90 + 10 * i, 0.3 / (i + 1), 0.02) for i in range(5)]
    root = ET.fromstring(svg([trade_off_figure(TradeOff("KLD", "KLD", points))]))
    space = "{http://www.w3.org/2000/svg}"
    assert len(list(root.iter(f"{space}circle"))) == 5
    texts = {element.text for element in root.iter(f"{space}text")}
    assert {point.name for point in points} <= texts
    heights = [float(c.attrib["cy"]) for c in root.iter(f"{space}circle")]
    assert heights == sorted(heights), "a smaller KLD is drawn lower"


@pytest.mark.parametrize(
    "values", [[0.1], [0.0], [0.5, 0.5], [1e-5, 1.0], [0.0, 1e-4, 2.0], [20.1, 20.2]], ids=str
)
def test_any_values_have_a_place_on_the_axes(values: list[float]) -> None:
    points = [ChartPoint(str(i), 100.0, value) for i, value in enumerate(values)]
    x, y = axes(points, 600, 300)
    for point in points:
        assert 0 <= x.place(point.x) <= 600 and 0 <= y.place(point.y) <= 300
    assert y.ticks() and all(y.low <= tick <= y.high * (1 + 1e-9) for tick in y.ticks())
    ET.fromstring(svg([trade_off_figure(TradeOff("KLD", "KLD", points))]))
    assert "\x1b" not in text_chart(points, "KLD")


def test_the_text_chart_has_the_letters_of_the_table() -> None:
    text = written(report("one", "two", "three"), ReportFormat.MARKDOWN)
    chart = text.split("```text")[1].split("```")[0]
    assert re.search(r"\| a \| one", text) and re.search(r"\| c \| three", text)
    assert all(letter in chart for letter in "abc")


def test_what_breaks_the_model_is_in_the_table_and_not_on_the_chart() -> None:
    broken = replace(ROW, name="broken", kld=float("nan"), perplexity=float("nan"))
    made = Report("m", {}, [ROW, broken])
    assert [point.name for point in made.points] == ["first_4"]
    assert "NaN" in written(made, ReportFormat.MARKDOWN)


DEPTHS = [
    Depth("KLD measured at Q4_0, nats", [BlockBar(b, 0.01 * (b + 1), 0.001) for b in range(12)], False),
    Depth("estimate: LIM", [BlockBar(b, -0.9 + 0.01 * b) for b in range(12)], True),
]
LOWERINGS = [
    Lowering(
        "Q2_K",
        [
            LoweredLine("measured", [(0.0, 100.0, 0.0), (50.0, 96.0, 0.0), (100.0, 80.0, 0.0)]),
            LoweredLine("random, mean of 3", [(0.0, 100.0, 0.0), (50.0, 91.0, 2.0), (100.0, 80.0, 0.0)]),
            LoweredLine("LIM, pruned", [(0.0, 100.0, 0.0), (50.0, 3.0, 0.0)], True),
        ],
        90.0,
    )
]


def everything() -> Report:
    return replace(report("first_4", "last_4"), depths=DEPTHS, lowerings=LOWERINGS, predicted=[(98.0, 0.1)])


def test_a_picture_holds_all_charts_that_there_is_something_for_or_one_kind() -> None:
    assert [len(everything().figures(kind)) for kind in ChartKind] == [1, 1, 1, 0, 2, 1]
    assert len(everything().figures()) == 6 and len(report("one").figures()) == 3
    html = written(everything(), ReportFormat.HTML)
    assert isinstance(html, str) and html.count("<svg ") == 6
    one = written(everything(), ReportFormat.SVG, ChartKind.LOWERING)
    assert isinstance(one, str) and "90 % kept" in one and "LIM, pruned" in one and "perplexity" not in one


def test_what_is_estimated_or_predicted_looks_other_than_what_was_measured() -> None:
    measured, estimated = (svg([figure]) for figure in everything().figures(ChartKind.DEPTH))
    assert "By depth: KLD measured" in measured and "url(#hatch)" not in measured
    assert "By depth: estimate" in estimated and estimated.count("url(#hatch)") == 12
    [trade_off] = everything().figures(ChartKind.KLD)
    circles = re.findall(r"<circle[^>]*>", svg([trade_off]))
    assert ['fill="none"' in circle for circle in circles] == [True, False, False]


def test_better_recipes_are_joined_though_more_of_a_metric_is_better() -> None:
    points = [ChartPoint("a", 80, 70.0), ChartPoint("b", 90, 65.0), ChartPoint("c", 100, 90.0)]
    assert [p.name for p in TradeOff("top", "top", points, more_is_better=True).best] == ["a", "c"]
    assert [p.name for p in TradeOff("kld", "kld", points).best] == ["a", "b"]


def test_a_picture_of_strange_names_is_still_a_document() -> None:
    text = written(report("plain", HOSTILE), ReportFormat.SVG)
    assert isinstance(text, str)
    ET.fromstring(text)
    assert "<script" not in text and "\u202e" not in text


def test_an_image_has_letters_where_the_machine_has_no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    import resvg_py

    render, asked = resvg_py.svg_to_bytes, {}

    def without_fonts(**options: object) -> object:
        asked.update(options)
        return render(**{**options, "skip_system_fonts": True})

    monkeypatch.setattr(resvg_py, "svg_to_bytes", without_fonts)
    words = png(svg([trade_off_figure(TradeOff("KLD", "KLD", [ChartPoint("a recipe ± Δ", 90, 0.1)]))]))
    bare = render(**{**asked, "font_files": [], "skip_system_fonts": True})
    assert len(words) > len(bytes(bare)) + 3000


def test_a_much_larger_file_is_told_of_at_the_edge_and_squeezes_nothing() -> None:
    points = [ChartPoint(f"r{i}", 90 + 5 * i, 0.3 / (i + 1)) for i in range(5)]
    chart = TradeOff("KLD", "KLD", [*points, ChartPoint("base", 258.3, 0.0)])
    near, far = chart.near_and_far
    assert near == points and [point.name for point in far] == ["base"]
    text = svg([trade_off_figure(chart)])
    assert "base: 0 at 258.3 MiB →" in text and text.count("<circle") == 5 and ">r4<" in text


def test_perplexities_have_the_errors_of_their_pairs_with_the_base() -> None:
    alone = replace(ROW, delta_percent=None, delta_percent_se=None)
    paired, unpaired = (
        svg(
            Report("m", {}, [row, replace(row, name="b", file_bytes=120 << 20)]).figures(ChartKind.PERPLEXITY)
        )
        for row in (ROW, alone)
    )
    assert "19.5" in paired and ">18<" in unpaired and ">18<" not in paired
