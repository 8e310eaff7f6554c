"""`lqtui types`: the types table as people and scripts read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import write_tiny_llama
from imatrices import random_imatrix

from lqtui.llama.gguf import BaseModel
from tests.cli.running import document, lqtui, refused


def test_types_tells_of_each_type_its_quality_size_and_compression(
    demo_model: Path, quick: list[str]
) -> None:
    wanted = "F16,q8_0,Q4_K,IQ1_S"
    found = document(lqtui("types", demo_model, "--types", wanted, *quick, "--json"))
    rows = {row["type"]: row for row in found["types"]}
    assert list(rows) == ["F16", "Q8_0", "Q4_K_M", "IQ1_S"]
    for row in (rows["Q8_0"], rows["Q4_K_M"]):
        assert row["reason"] is None and row["perplexity"] > 1 and row["perplexity_se"] > 0
        assert 0 < row["kld_se"] < row["kld"] and row["prompt_tps"] is None
        assert row["compression"] == pytest.approx(demo_model.stat().st_size / row["file_bytes"])
    assert rows["Q8_0"]["kld"] < rows["Q4_K_M"]["kld"]
    assert "needs an importance matrix" in rows["IQ1_S"]["reason"] and "perplexity" not in rows["IQ1_S"]
    assert rows["IQ1_S"]["compression"] > rows["Q4_K_M"]["compression"]
    said = lqtui("types", demo_model, "--types", wanted, *quick).stdout.splitlines()
    assert [line.split()[0] for line in said[:5]] == ["type", "F16", "Q8_0", "Q4_K_M", "IQ1_S"]
    assert f"{rows['Q4_K_M']['compression']:.2f}×" in said[3] and f"{rows['Q4_K_M']['kld']:.5f}" in said[3]
    assert said[5].startswith("IQ1_S is not measured: it needs an importance matrix")


def test_speeds_are_measured_where_they_are_asked_for(tiny_model: Path, quick: list[str]) -> None:
    more = ["--types", "Q8_0", "--tps", "--repetitions", "1", *quick]
    (row,) = document(lqtui("types", tiny_model, *more, "--json"))["types"]
    assert row["prompt_tps"] > 0 and row["generation_tps"] > 0
    assert "tg t/s" in lqtui("types", tiny_model, *more).stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("types", "sentence"),
    [
        ("Q8_0,Q9", "unknown type 'Q9'"),
        (" , ", "--types lists no type"),
        ("IQ1_S,IQ2_XXS", "needs an importance matrix"),
        ("Q1_0", "rows of 320 weights do not divide into blocks of 128"),
    ],
)
def test_what_cannot_be_a_table_is_one_sentence(types: str, sentence: str, zoo: dict[str, Path]) -> None:
    model = zoo["rows of 64 and 128" if types == "Q1_0" else "own heads"]
    refused(lqtui("types", model, "--types", types), sentence)


def test_an_importance_matrix_lets_every_type_be_measured(tmp_path: Path, quick: list[str]) -> None:
    model = write_tiny_llama(tmp_path / "wide.gguf", width=256, ffn=256, blocks=1)
    with BaseModel(model) as base:
        matrix = random_imatrix(tmp_path / "matrix.gguf", base.shape)
    wanted = ["--types", "Q4_K_M,IQ1_M,IQ1_S", *quick]
    without = document(lqtui("types", model, *wanted, "--json"))["types"]
    assert [row["reason"] is None for row in without] == [True, False, False]
    weighed = document(lqtui("types", model, *wanted, "--imatrix", matrix, "--json"))["types"]
    assert all(row["reason"] is None and row["kld"] > 0 for row in weighed)
    assert weighed[0]["kld"] != without[0]["kld"], "the matrix weighs the errors of Q4_K_M too"
