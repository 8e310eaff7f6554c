"""A run of one task, and a model that is slow enough to be interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.shape import ModelShape
from tests.worker.child_runs import (
    Run,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "job.log")


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes seconds to quantize to Q2_K and long to run: there is time to kill its child."""
    path = tmp_path_factory.mktemp("slow") / "slow.gguf"
    return write_tiny_llama(path, blocks=12, width=512, ffn=2048)


@pytest.fixture(scope="session")
def slow_shape(slow_model: Path) -> ModelShape:
    from lqtui.llama.gguf import BaseModel

    with BaseModel(slow_model) as base:
        return base.shape
