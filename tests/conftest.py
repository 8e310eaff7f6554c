"""What tests share: models, texts, a home of lqtui's own, and stock llama.cpp where it can be built."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import refused_sockets  # from now on this process reaches no other machine
from gguf_files import tiny_text, write_tiny_llama
from header_zoo import write_zoo
from hypothesis import settings
from local_hub import LocalHub
from stock_quantize import StockQuantizer

from lqtui.llama.gguf import BaseModel
from lqtui.recipe.shape import ModelShape
from lqtui.store.paths import Paths
from lqtui.workbench import demo

settings.register_profile("lqtui", deadline=None)  # how long an example takes proves nothing
settings.load_profile("lqtui")

_ROOT = Path(__file__).parent.parent
_OFFLINE = str(Path(__file__).parent / "offline")
if _OFFLINE not in os.environ.get("PYTHONPATH", "").split(os.pathsep):  # a worker of xdist has it by then
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_OFFLINE, os.environ.get("PYTHONPATH"))))
_SHARED = _ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LQTUI_HOME for every test, so that none sees or changes the person's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("LQTUI_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's files, and no way to the real Hub for any process that a test starts."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    hub_home = tmp_path / "huggingface"
    monkeypatch.setenv("HF_HOME", str(hub_home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    return hub_home


@pytest.fixture(autouse=True)
def refusals(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Notes of what this test's processes asked of other machines, which fail it unless it expects them.

    One that expects them removes the file.
    """
    notes = tmp_path_factory.getbasetemp() / f"refused-{uuid.uuid4().hex}"
    monkeypatch.setenv(refused_sockets.NOTES, str(notes))
    yield notes
    if notes.exists():
        pytest.fail(f"asked of other machines:\n{notes.read_text()}", pytrace=False)


@pytest.fixture
def hub(hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub on this machine, which is the one that processes of this test find."""
    hub = LocalHub()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yield hub
    hub.close()


@pytest.fixture
def paths(home: Path) -> Paths:
    """The folders under this test's home."""
    return Paths.under(home)


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The trained model of 24 blocks that lqtui brings: what tests run on unless only a format matters."""
    return demo.demo_model()


@pytest.fixture(scope="session")
def demo_shape(demo_model: Path) -> ModelShape:
    """The shape of the demo model."""
    with BaseModel(demo_model) as base:
        return base.shape


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python's own help topics, which the demo model has not seen: some 150,000 of its tokens."""
    from pydoc_data.topics import topics

    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama model of 4 blocks, F16, that runs in milliseconds."""
    return write_tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_shape(tiny_model: Path) -> ModelShape:
    """The shape of the tiny model."""
    with BaseModel(tiny_model) as base:
        return base.shape


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of some 25,000 of the tiny model's tokens."""
    path = tmp_path_factory.mktemp("text") / "tiny.txt"
    path.write_text(tiny_text())
    return path


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Headers of models of every kind that llama-quantize treats differently, by what they are."""
    return write_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def zoo_shapes(zoo: dict[str, Path]) -> dict[str, ModelShape]:
    """The shapes of the zoo's models."""
    shapes = {}
    for name, path in zoo.items():
        with BaseModel(path) as base:
            shapes[name] = base.shape
    return shapes


@pytest.fixture(scope="session")
def stock() -> Iterator[StockQuantizer]:
    """The binding's own `llama_model_quantize`, in a child process."""
    quantizer = StockQuantizer()
    yield quantizer
    quantizer.close()


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct in F16, made once and kept in the user's cache."""
    script = _shared("models/make-smollm2-f16.sh")
    out = _cache() / "SmolLM2-135M-Instruct-F16.gguf"
    _run_alone(["bash", str(script), str(out)], {"PYTHON": sys.executable})
    return out


@pytest.fixture(scope="session")
def smollm2_shape(smollm2: Path) -> ModelShape:
    """The shape of SmolLM2."""
    with BaseModel(smollm2) as base:
        return base.shape


@pytest.fixture(scope="session")
def wikitext() -> Path:
    """The WikiText-2 test set."""
    return _shared("data/wikitext-2-test.txt")


@pytest.fixture(scope="session")
def seed_experiment() -> dict[str, dict[str, float]]:
    """What stock llama.cpp measured of the eleven presets on SmolLM2, by preset."""
    document = json.loads(_shared("reference/smollm2-seed-experiment.json").read_text())
    return {row["preset"]: row for row in document["results"]}


@pytest.fixture(scope="session")
def llama_tools() -> Path:
    """The folder of stock llama.cpp's tools, built once (about 5 minutes) from the binding's own source."""
    script = _shared("peers/build-llama-tools.sh")
    out = _cache() / "llama-tools"
    _run_alone(["bash", str(script), str(out)], {})
    return out / "bin"


def _shared(name: str) -> Path:
    path = _SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} of the shared reference material beside the checkout")
    return path


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = root / "lqtui-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _run_alone(command: list[str], variables: Mapping[str, str]) -> None:
    """Run a command that fills the cache, one at a time over all processes that test."""
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
