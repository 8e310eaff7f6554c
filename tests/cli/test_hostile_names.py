"""What a person or a stranger calls files and recipes is printed without anything that a terminal obeys."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.running import lqtui

STRANGE = "a\x1b]0;owned\x07\x9b2J\u202e\x7f😀\n[b]{0}%s"
NO_UNICODE = "no\udcffunicode"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with a name of control characters."""
    path = tmp_path / "recipe.toml"
    name = json.dumps(STRANGE, ensure_ascii=False).replace("\x7f", "\\u007f")
    path.write_text(f'name = {name}\ndescription = {name}\nbase = "Q4_0"\n[tensors]\n', encoding="utf-8")
    return path


def said(*arguments: object, code: int = 0) -> str:
    """All that a command printed, on both streams, in which there is nothing but lines of text."""
    done = lqtui(*map(str, arguments))
    assert done.returncode == code, done.stderr
    text = done.stdout + done.stderr
    assert all(line.isprintable() for line in text.split("\n")), text
    return text


@pytest.mark.parametrize("ending", [".sh", ".toml"])
def test_where_a_recipe_was_written_is_printed_harmlessly(
    ending: str, tiny_model: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"{STRANGE}{ending}"
    assert "wrote" in said("export", tiny_model, "--recipe", recipe, "-o", out)
    assert out.exists()


def test_a_job_is_followed_on_a_file_under_a_harmless_name(
    tiny_model: Path, tiny_corpus: Path, recipe: Path
) -> None:
    text = ("--corpus", tiny_corpus, "--chunks", "1", "--ctx", "64", "--threads", "1")
    assert "owned" in said("measure", tiny_model, "--recipe", recipe, *text)


def test_json_has_names_as_they_are_and_no_terminal_obeys_it(tiny_model: Path, recipe: Path) -> None:
    for form in ("toml", "json", "script", "tensor-types"):
        printed = said("export", tiny_model, "--recipe", recipe, "--format", form)
        assert "owned" in printed or form == "tensor-types"
    assert json.loads(said("plan", tiny_model, "--recipe", recipe, "--json"))["name"] == STRANGE


def test_a_usage_error_repeats_what_was_written_harmlessly() -> None:
    assert "unexpected extra argument" in said("plan", "a.gguf", STRANGE, code=2)


def test_a_path_that_is_no_unicode_is_printed_and_told_as_json(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / f"{NO_UNICODE}.sh"
    export = ("export", tiny_model, "--preset", "Q4_0", "-o", out)
    assert "wrote" in said(*export)
    assert json.loads(said(*export, "--json"))["out"] == str(out)
    assert os.fsencode(out.name) == b"no\xffunicode.sh" and out.exists()


def test_an_importance_matrix_with_a_name_that_is_no_unicode_is_a_sentence(
    tiny_model: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"{NO_UNICODE}.gguf"
    text = ("--corpus", tiny_corpus, "--chunks", "1", "--ctx", "64", "--threads", "1")
    assert "is not valid Unicode; rename the file" in said("imatrix", tiny_model, "-o", out, *text, code=2)
