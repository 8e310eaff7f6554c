"""Where llama.cpp's own converter is, and a Python that has what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lqtui.llama.errors import EngineError

SCRIPT = "convert_hf_to_gguf.py"
CONVERTER_VARIABLE = "LQTUI_CONVERTER"
PYTHON_VARIABLE = "LQTUI_CONVERTER_PYTHON"
_REQUIREMENTS = Path("requirements") / "requirements-convert_hf_to_gguf.txt"
_MODULES = {
    "torch": "torch",
    "transformers": "transformers",
    "numpy": "numpy",
    "sentencepiece": "sentencepiece",
    "google.protobuf": "protobuf",
    "safetensors": "safetensors",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
}
"""The modules that the converter imports, and the packages that hold them."""
_PROBE = """
import importlib.util, sys
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
print(",".join(name for name in sys.argv[1:] if not there(name)))
"""
_PROBE_SECONDS = 60
_LONGEST_SHEBANG = 1024
HOW_TO_GET_IT = (
    "get it with: git clone --depth 1 https://github.com/ggml-org/llama.cpp && cd llama.cpp && "
    f"python3 -m venv .venv && .venv/bin/pip install -r {_REQUIREMENTS}; then name the folder llama.cpp with "
    f"--converter or in {CONVERTER_VARIABLE}"
)


@dataclass(frozen=True)
class Converter:
    """The script, and the Python to run it with."""

    script: Path
    python: str


def find_converter(chosen: Path | None) -> Converter:
    """The converter: the one that was chosen, else `LQTUI_CONVERTER`, else one on the PATH.

    Its Python is `LQTUI_CONVERTER_PYTHON`, or the first of these that has all it needs: its checkout's own
    virtual environment, what its first line names, and the Python that runs lqtui.

    Raises EngineError with what to install where something is missing.
    """
    script = _script(chosen)
    lacking: dict[str, list[str]] = {}
    for python in dict.fromkeys(_pythons(script)):
        missing = _missing(python, script)
        if not missing:
            return Converter(script, python)
        lacking.setdefault(python, missing)
    python, missing = next(iter(lacking.items()))
    raise EngineError(
        f"{python} lacks {_listed(missing)}, which {script} needs; {_cure(script, python, missing)}"
    )


def _script(chosen: Path | None) -> Path:
    for place, source in ((chosen, "--converter"), (os.environ.get(CONVERTER_VARIABLE), CONVERTER_VARIABLE)):
        if place:
            path = Path(place).expanduser().absolute()
            script = path / SCRIPT if path.is_dir() else path
            if not script.is_file():
                raise EngineError(
                    f"{source} names {path}, which is neither {SCRIPT} nor a checkout of llama.cpp with it"
                )
            return script
    found = shutil.which(SCRIPT) or next(
        (str(place) for place in _path_places() if place.is_file()), None
    )  # which() passes over what is not marked executable
    if found is None:
        raise EngineError(f"llama.cpp's converter, {SCRIPT}, is not on this machine; {HOW_TO_GET_IT}")
    return Path(found).absolute()


def _path_places() -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder) / SCRIPT


def _pythons(script: Path) -> Iterator[str]:
    if named := os.environ.get(PYTHON_VARIABLE):
        found = shutil.which(str(Path(named).expanduser()))
        if found is None:
            raise EngineError(f"{PYTHON_VARIABLE} names {named}, which cannot be run")
        yield found
        return
    checkout = script.resolve().parent
    for folder in (".venv", "venv"):
        python = checkout / folder / "bin" / "python"
        if os.access(python, os.X_OK):
            yield str(python)
    with script.open("rb") as file:
        first = file.readline(_LONGEST_SHEBANG)
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name.startswith("python") and os.access(words[0], os.X_OK):
        yield words[0]
    yield sys.executable


def _missing(python: str, script: Path) -> list[str]:
    """The packages of what the converter needs that a Python does not have."""
    wanted = dict(_MODULES)
    if not (script.resolve().parent / "gguf-py" / "gguf").is_dir():
        wanted["gguf"] = "gguf"
    try:
        done = subprocess.run(
            [python, "-c", _PROBE, *wanted],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{python} cannot be run for the converter ({error})") from None
    return [wanted[name] for name in done.stdout.strip().split(",") if name in wanted]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _cure(script: Path, python: str, missing: list[str]) -> str:
    """What to type; not into lqtui's own environment: the converter needs an older huggingface_hub."""
    requirements = script.resolve().parent / _REQUIREMENTS
    if not requirements.is_file():
        return f"{HOW_TO_GET_IT}, or name a Python that has them in {PYTHON_VARIABLE}"
    venv = requirements.parent.parent / ".venv"
    if Path(python) == venv / "bin" / "python":
        return f"install them with: {python} -m pip install -r {requirements}"
    return f"install them with: python3 -m venv {venv} && {venv}/bin/pip install -r {requirements}"
