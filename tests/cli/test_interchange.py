"""`lqtui compare`, `lqtui report`, and recipes in other formats, as a script meets them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.running import document, lqtui, refused
from tests.gguf_files import write_tiny_llama


def test_files_are_compared_with_their_data(demo_model: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.gguf", tmp_path / "two.gguf"
    for out, name in ((one, "uniform_q4_0"), (two, "first_4_layers_q8")):
        assert lqtui("quantize", demo_model, out, "--preset", name).returncode == 0
    found = document(lqtui("compare", one, two, "--json"))
    assert found["data_compared"]
    assert {d["name"].split(".")[1] for d in found["differences"]} == {"0", "1", "2", "3"}
    assert sum(d["bytes_more"] for d in found["differences"]) == two.stat().st_size - one.stat().st_size
    changed = bytearray(shutil.copy(one, tmp_path / "three.gguf").read_bytes())
    changed[-100] ^= 1  # in the last tensor's data
    (tmp_path / "three.gguf").write_bytes(changed)
    other = document(lqtui("compare", one, tmp_path / "three.gguf", "--json"))["differences"]
    assert [d["other_bytes"] for d in other] == [True] and other[0]["a"] == other[0]["b"]
    said = lqtui("compare", one, one).stdout
    assert "0 differ" in said


def test_recipes_are_compared_on_their_model(demo_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "Q4_0"\n[tensors]\n"blk.3.attn_v" = "Q6_K"\n')
    found = document(lqtui("compare", "uniform_q4_0", file, "--model", demo_model, "--json"))
    assert [(d["name"], d["a"], d["b"]) for d in found["differences"]] == [
        ("blk.3.attn_v.weight", "Q4_0", "Q6_K")
    ]
    refused(lqtui("compare", "uniform_q4_0", file), "--model MODEL")
    refused(lqtui("compare", tmp_path / "none.gguf", file), "cannot be read")
    refused(lqtui("compare", "uniform", file, "--model", demo_model), "did you mean uniform_q4_0")


def test_a_recipe_comes_from_any_format(demo_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "it's.sh"
    assert lqtui("export", demo_model, "--preset", "ffn_q8", "-o", script).returncode == 0
    wanted = document(lqtui("plan", demo_model, "--preset", "ffn_q8", "--json"))
    again = document(lqtui("plan", demo_model, "--recipe", script, "--json"))
    assert again["tensors"] == wanted["tensors"] and again["name"] == "ffn_q8"
    types = tmp_path / "types.txt"
    types.write_text("blk.1=q8_0")
    done = lqtui("plan", demo_model, "--recipe", types)
    assert done.returncode == 0 and "reaches the blocks 1,10-19" in done.stderr
    other = write_tiny_llama(tmp_path / "other.gguf")
    refused(lqtui("plan", demo_model, "--recipe", other), "another model")


def test_a_report_holds_what_was_measured(demo_model: Path, quick: list[str], tmp_path: Path) -> None:
    refused(lqtui("report", demo_model, "-o", tmp_path / "r.html", *quick[:-2]), "nothing is measured")
    assert not (tmp_path / "r.html").exists()
    measured = document(lqtui("measure", demo_model, "--preset", "uniform_q4_0", "--kld", *quick, "--json"))[
        "results"
    ]
    for suffix in (".html", ".md", ".csv", ".svg", ".png"):
        out = tmp_path / f"r{suffix}"
        done = document(lqtui("report", demo_model, "-o", out, *quick[:-2], "--json"))
        assert done["results"] >= 1
        if suffix not in (".svg", ".png"):
            assert f"{measured[0]['kld']:.5f}"[:6] in out.read_text()
    depth = lqtui("report", demo_model, "-o", tmp_path / "depth.png", "--chart", "depth", *quick[:-2])
    refused(depth, "nothing is known for a chart by depth")
    refused(lqtui("report", demo_model, "-o", tmp_path / "r.pdf", *quick[:-2]), "end its name with")


def test_a_recipe_goes_out_in_any_format(demo_model: Path, tmp_path: Path) -> None:
    recipe = ["--preset", "ffn_q8"]
    wanted = document(lqtui("plan", demo_model, *recipe, "--json"))["tensors"]
    for name, form in (("a.toml", "toml"), ("a.json", "json"), ("a.txt", "tensor-types"), ("a.sh", "script")):
        out = tmp_path / name
        assert lqtui("export", demo_model, *recipe, "-o", out).returncode == 0
        printed = lqtui("export", demo_model, *recipe, "--format", form)
        assert printed.stdout == out.read_text()
        assert out.stat().st_mode & 0o100 == (0o100 if form == "script" else 0)
        if form != "tensor-types":  # which leaves the file type to llama-quantize's own argument
            assert document(lqtui("plan", demo_model, "--recipe", out, "--json"))["tensors"] == wanted
    refused(lqtui("export", demo_model, *recipe, "--format", "yaml"), "--format is one of")
