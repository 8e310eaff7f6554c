"""The report says what was measured, in each form, whatever names strangers chose."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lqtui.export.chart import ChartPoint, axes, svg_chart, text_chart
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


def test_a_recipe_of_backticks_stays_in_its_fence() -> None:
    one = replace(ROW, recipe='name = "````"\n')
    text = written(Report("m", {}, [one]), ReportFormat.MARKDOWN)
    assert "`````toml\nname" in text and text.rstrip().endswith("`````")


def test_the_picture_is_a_document_with_a_point_and_a_name_for_each() -> None:
    points = [ChartPoint(f"recipe {i}", 90 + 10 * i, 0.3 / (i + 1), 0.02) for i in range(5)]
    root = ET.fromstring(svg_chart(points, "KLD"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}circle")) == 5
    texts = {element.text for element in root.findall(f"{space}text")}
    assert {point.name for point in points} <= texts
    heights = [float(c.attrib["cy"]) for c in root.findall(f"{space}circle")]
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
    ET.fromstring(svg_chart(points, "KLD"))
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
