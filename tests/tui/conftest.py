"""Workbenches on synthetic models, and terminals."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeWorkbench
from model_shapes import llama_shape
from tmux import Terminal


@pytest.fixture
def workbench() -> FakeWorkbench:
    """A workbench with a model of 30 blocks open."""
    return FakeWorkbench(llama_shape())


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    made = Terminal(f"lqtui-test-{uuid.uuid4().hex[:12]}", folder)  # the one before may still be leaving
    yield made
    made.stop()
