"""Models in safetensors for tests, and a stand-in for llama.cpp's converter, whose needs are gigabytes.

The stand-in has the real one's command line, log lines, progress bar and exit status. What it does with a
model stands in the model's config.json.
"""

from __future__ import annotations

import json
import stat
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
#!/usr/bin/env python3
import argparse, json, os, shutil, signal, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--outfile", type=Path)
parser.add_argument("--outtype", choices=["f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0", "auto"])
parser.add_argument("--model-name")
parser.add_argument("model", nargs="?")
args = parser.parse_args()
config = json.loads((Path(args.model) / "config.json").read_text())
out = args.outfile.parent / args.outfile.name.format(ftype=args.outtype)
(Path(__file__).parent / "called.json").write_text(json.dumps(
    {"arguments": sys.argv[1:], "python": os.environ.get("STAND_IN_PYTHON"), "pid": os.getpid(),
     "offline": os.environ.get("HF_HUB_OFFLINE"), "input": sys.stdin.read()}))
print(f"INFO:hf-to-gguf:Loading model: {Path(args.model).name}", file=sys.stderr)
does = config.get("does", "converts")
if does == "refuses":
    print("ERROR:hf-to-gguf:Model FooForCausalLM is not supported", file=sys.stderr)
    sys.exit(1)
if does == "crashes":
    os.kill(os.getpid(), signal.SIGKILL)
with out.open("wb") as file:
    for percent in (0, 40, 100):
        bar = f"Writing: {percent:3}%|{'#' * (percent // 10):10}| {percent}k/100k [00:00<00:00, 53.9Mbyte/s]"
        print("\\r" + bar, end="", file=sys.stderr, flush=True)
        if percent == 40 and does == "takes long":
            file.write(b"GGUF" + bytes(1000))
            file.flush()
            time.sleep(600)
        if percent == 40 and does == "fills the disk":
            raise OSError(28, "No space left on device")
    if does != "writes nothing":
        with open(config["gguf"], "rb") as made:
            shutil.copyfileobj(made, file)
print("\\nINFO:hf-to-gguf:Model successfully exported to", out, file=sys.stderr)
"""
_MODULES = (
    "torch",
    "transformers",
    "numpy",
    "sentencepiece",
    "google/protobuf",
    "safetensors",
    "yaml",
    "tqdm",
)


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], int]]) -> Path:
    """A file of zeros that takes no disk; of each tensor the type, the shape and its bytes are given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(file.tell() + end)
    return path


def write_checkpoint(
    folder: Path, does: str = "converts", *, gguf: Path | None = None, parts: int = 1
) -> Path:
    """A model of four weights a part; the stand-in makes a copy of `gguf` of it, or does what it is told."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"does": does, "gguf": str(gguf)}))
    names = ["model.safetensors"]
    if parts > 1:
        names = [f"model-{i + 1:05}-of-{parts:05}.safetensors" for i in range(parts)]
        index = {"weight_map": {f"tensor.{i}": name for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for i, name in enumerate(names):
        write_safetensors(folder / name, {f"tensor.{i}": ("BF16", (2, 2), 8)})
    return folder


@dataclass(frozen=True)
class StandIn:
    """A checkout of llama.cpp with the stand-in, and a Python that has what the real one needs."""

    checkout: Path
    python: Path

    @property
    def script(self) -> Path:
        """The converter."""
        return self.checkout / "convert_hf_to_gguf.py"

    @property
    def called(self) -> dict[str, object]:
        """How it was called last."""
        found: dict[str, object] = json.loads((self.checkout / "called.json").read_text())
        return found


def write_stand_in(folder: Path, *, lacking: tuple[str, ...] = ()) -> StandIn:
    """Write both; `lacking` modules are not there."""
    checkout = folder / "llama.cpp"
    (checkout / "gguf-py" / "gguf").mkdir(parents=True)
    (checkout / "requirements").mkdir()
    (checkout / "requirements" / "requirements-convert_hf_to_gguf.txt").write_text("torch\n")
    stand_in = StandIn(checkout, write_python(folder / "python with torch", lacking=lacking))
    stand_in.script.write_text(_SCRIPT.lstrip())
    _make_executable(stand_in.script)
    return stand_in


def write_python(path: Path, *, lacking: tuple[str, ...] = ()) -> Path:
    """A Python that finds the modules that the real converter needs, though none that does anything."""
    modules = path.with_name(f"{path.name} modules")
    for name in _MODULES:
        if name not in lacking:
            (modules / name).mkdir(parents=True)
            (modules / name / "__init__.py").touch()
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]"
    (modules / "sitecustomize.py").write_text(hidden)
    path.write_text(
        textwrap.dedent(
            f"""\
            #!/bin/sh
            PYTHONPATH="{modules}" STAND_IN_PYTHON="{path}" exec "{sys.executable}" "$@"
            """
        )
    )
    _make_executable(path)
    return path


def _make_executable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
