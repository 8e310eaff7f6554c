"""The exported script, run by real bash: it makes the file, or says why not and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stock_quantize import StockQuantizer

from lqtui.export.quoting import first_word, quoted
from lqtui.export.script import export_script, slug
from lqtui.export.script_reader import read_script
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.file_types import FileType
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, Recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType

HOSTILE = [
    "plain.gguf",
    "two words.gguf",
    'it\'s "quoted".gguf',
    "$(touch injected).gguf",
    "`touch injected`.gguf",
    "; touch injected #.gguf",
    "line\nbreak\ntouch injected.gguf",
    "-dash.gguf",
    "--allow-requantize",
    "7b.gguf",
    "Q4_0",
    "{braces} %s \\n.gguf",
    "*?[a].gguf",
    "ünï—cødé 模型.gguf",
    "!history.gguf",
    "\x1b]0;owned\x07\x9b2J\u202e'\\033'\r.gguf",
    "no\udcffunicode \udc9b.gguf",
]

# Speaks llama-quantize's protocol: notes its arguments, checks the model, writes as many bytes as it is told.
_STAND_IN = """\
#!/usr/bin/env bash
set -euo pipefail
printf '%s\\0' "$@" >"$(dirname "$0")/arguments"
model=${@: -3:1} out=${@: -2:1}
[[ -s $model ]]
head -c "$STAND_IN_BYTES" /dev/zero >"$out"
exit "${STAND_IN_EXIT:-0}"
"""


@pytest.fixture
def plan(demo_shape: ModelShape) -> Plan:
    return resolve(demo_shape, preset("first_4_layers_q8", demo_shape))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty folder to run in; the stand-in for llama-quantize lies outside it."""
    tool = tmp_path / "tool" / "llama-quantize"
    tool.parent.mkdir()
    tool.write_text(_STAND_IN)
    tool.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(script: str, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = folder.parent / "recipe.sh"
    path.write_text(script, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "LLAMA_QUANTIZE": str(folder.parent / "tool/llama-quantize")}
    command = ["bash", str(path), *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tool_arguments(folder: Path) -> list[str]:
    return os.fsdecode((folder.parent / "tool/arguments").read_bytes()).split("\0")[:-1]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_file_name_arrives_as_it_is(name: str, plan: Plan, work: Path) -> None:
    (work / name).write_text("weights")
    script = export_script(plan, name, measured=[f"perplexity of {name}"])
    done = run(script, work, STAND_IN_BYTES=str(plan.file_bytes))
    assert done.returncode == 0, done.stderr
    made = names(work) - {name}
    assert made == {f"{Path(name).stem}-first_4_layers_q8.gguf"}
    assert tool_arguments(work)[-3:] == [f"./{name}", f"./{made.pop()}.part", "Q4_0"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_given_as_arguments_arrive_as_they_are(name: str, plan: Plan, work: Path) -> None:
    (work / "m").mkdir()
    (work / "m" / name).write_text("weights")
    script = export_script(plan, "other.gguf")
    done = run(script, work, f"m/{name}", name, STAND_IN_BYTES=str(plan.file_bytes))
    assert done.returncode == 0, done.stderr
    assert names(work) == {"m", name}


@settings(max_examples=25)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=20))
def test_every_text_is_one_word_for_bash_and_nothing_for_a_terminal(texts: list[str]) -> None:
    words = [quoted(text) for text in texts]
    assert all(word.isprintable() for word in words)
    assert [first_word(f"{word}\nx=1") for word in words] == texts
    said = subprocess.run(
        ["bash", "-c", "printf '%s\\0' " + " ".join(words)], capture_output=True, check=True
    )
    assert said.stdout.decode().split("\0")[:-1] == texts


@pytest.mark.parametrize("name", HOSTILE)
def test_a_script_commands_no_terminal_that_shows_it(name: str, plan: Plan) -> None:
    script = export_script(plan, name, measured=[name])
    assert "".join(script.splitlines()).isprintable() and script.encode()


def test_a_tensor_with_a_name_of_control_characters_is_read_back(tiny_shape: ModelShape) -> None:
    strange = "blk.0.\u009b31m\u202e.weight"
    tensors = [replace(t, name=strange) if t.name == "blk.0.ffn_up.weight" else t for t in tiny_shape.tensors]
    plan = resolve(
        replace(tiny_shape, tensors=tuple(tensors)), Recipe("r", FileType.Q4_0, {strange: TensorType.Q8_0})
    )
    script = export_script(plan, "m.gguf")
    assert "".join(script.splitlines()).isprintable()
    [entry] = [entry for entry in read_script(script)[2] if "31m" in entry.pattern]
    assert re.search(entry.pattern, strange)


@settings(max_examples=30)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_of_a_recipe_leaves_its_comment(text: str, tiny_shape: ModelShape) -> None:
    recipe = Recipe(text, FileType.Q4_0, {"blk.0.attn_q.weight": TensorType.Q8_0}, description=text)
    script = export_script(resolve(tiny_shape, recipe), "m.gguf", measured=[text])
    header = script[: script.index("set -euo pipefail")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert len(header.splitlines()) == 9 + bool(text)
    assert re.fullmatch(r"default_out=[\w.\-]+", script.splitlines()[len(header.splitlines()) + 3])


def test_the_longest_name_of_a_model_and_a_recipe_leaves_room_for_the_file_that_is_made(
    tiny_shape: ModelShape, work: Path
) -> None:
    name = f"{'é' * 125}.gguf"
    (work / name).write_text("weights")
    plan = resolve(tiny_shape, Recipe("long " * 100, FileType.Q4_0))
    done = run(export_script(plan, name), work, STAND_IN_BYTES=str(plan.file_bytes))
    assert done.returncode == 0, done.stderr
    [made] = names(work) - {name}
    assert made.startswith("ééé") and made.endswith("-long.gguf")


@pytest.mark.parametrize("name", ["", "..", "a/b", "-", "$(x)", "模型", "\n"])
def test_a_slug_is_a_plain_part_of_a_file_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][\w.\-]*", slug(name), flags=re.ASCII)


def test_the_header_says_which_recipe_and_what_was_measured(plan: Plan) -> None:
    script = export_script(plan, "m.gguf", measured=["perplexity 20.1 ± 1.6"])
    assert "# first_4_layers_q8: lqtui-demo, quantized by a recipe" in script
    assert f"{plan.file_bytes:,} bytes" in script
    assert "# Measured: perplexity 20.1 ± 1.6" in script
    assert "# blk 0-3: attn_k, " in script
    assert "# Measured: nothing yet." in export_script(plan, "m.gguf")


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ([], {"LLAMA_QUANTIZE": "/nowhere/llama-quantize"}, "llama-quantize was not found"),
        ([], {"LLAMA_QUANTIZE": "", "PATH": "/usr/bin:/bin"}, "llama-quantize was not found"),
        (["none.gguf"], {}, "The model none.gguf does not exist"),
        (["m.gguf", "m.gguf"], {}, "would overwrite the model itself"),
        (["m.gguf", "link.gguf"], {}, "would overwrite the model itself"),
        (["m.gguf", "folder"], {}, "folder is a folder"),
        (["m.gguf", "nowhere/out.gguf"], {}, "folder ./nowhere does not exist"),
        ([], {"STAND_IN_BYTES": "99"}, "The file has 99 bytes instead of"),
        ([], {"STAND_IN_EXIT": "3"}, "llama-quantize stopped"),
    ],
)
def test_what_goes_wrong_is_said_and_nothing_is_left(
    arguments: list[str], variables: dict[str, str], sentence: str, plan: Plan, work: Path
) -> None:
    (work / "m.gguf").write_text("weights")
    (work / "link.gguf").symlink_to("m.gguf")
    (work / "folder").mkdir()
    before = names(work)
    script = export_script(plan, "m.gguf")
    done = run(script, work, *arguments, **{"STAND_IN_BYTES": str(plan.file_bytes)} | variables)
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]
    assert names(work) == before
    assert list((work / "folder").iterdir()) == []
    assert (work / "m.gguf").read_text() == "weights"


def test_a_failure_leaves_an_earlier_file_as_it_was(plan: Plan, work: Path) -> None:
    (work / "m.gguf").write_text("weights")
    (work / "out.gguf").write_text("earlier")
    done = run(export_script(plan, "m.gguf"), work, "m.gguf", "out.gguf", STAND_IN_BYTES="99")
    assert done.returncode == 1
    assert names(work) == {"m.gguf", "out.gguf"}
    assert (work / "out.gguf").read_text() == "earlier"


def test_an_already_quantized_model_is_requantized(
    tiny_shape: ModelShape, stock: StockQuantizer, tiny_model: Path, tmp_path: Path
) -> None:
    assert stock.write(tiny_model, tmp_path / "q8.gguf", FileType.Q8_0).done
    with BaseModel(tmp_path / "q8.gguf") as base:
        plan = resolve(base.shape, Recipe("again", FileType.Q4_0))
    assert "--allow-requantize" in export_script(plan, "q8.gguf")
    plain = resolve(tiny_shape, Recipe("once", FileType.Q4_0))
    assert "--allow-requantize" not in export_script(plain, "m.gguf")


def every_kind(shape: ModelShape) -> list[Plan]:
    recipes = [preset("baseline_fp16", shape), preset("uniform_q4_0", shape), preset("ffn_q8", shape)]
    return [resolve(shape, recipe) for recipe in recipes]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("name", HOSTILE)
def test_shellcheck_finds_nothing(name: str, demo_shape: ModelShape, tmp_path: Path) -> None:
    for number, plan in enumerate(every_kind(demo_shape)):
        path = tmp_path / f"{number}.sh"
        path.write_text(export_script(plan, name), encoding="utf-8")
        # SC2016 doubts that a `$(` in single quotes is meant literally; it is.
        done = subprocess.run(["shellcheck", "-e", "SC2016", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_no_construct_is_newer_than_the_bash_of_macos(demo_shape: ModelShape) -> None:
    newer = r"\$\{\w+(@\w|,,|\^\^)|\bdeclare -A|\bmapfile\b|\breadarray\b|&>>|\|&|\bcoproc\b|\$\{\w+\[-\d"
    for plan in every_kind(demo_shape):
        script = export_script(plan, "m.gguf")
        assert not re.search(newer, script)
        # bash 3.2 calls an empty array unset: `set -u` would end the script there.
        assert '"${options[@]}"' not in script.replace('${options[@]+"${options[@]}"}', "")


@pytest.mark.reference
@pytest.mark.parametrize("name", HOSTILE)
def test_the_real_llama_quantize_takes_any_name(
    name: str, plan: Plan, demo_model: Path, llama_tools: Path, work: Path
) -> None:
    shutil.copy(demo_model, work / name)
    script = export_script(plan, name)
    done = run(script, work, LLAMA_QUANTIZE=str(llama_tools / "llama-quantize"))
    assert done.returncode == 0, done.stderr[-800:]
    made = names(work) - {name}
    assert len(made) == 1
    assert (work / made.pop()).stat().st_size == plan.file_bytes
