"""Workbenches on synthetic models."""

from __future__ import annotations

import pytest
from fakes import FakeWorkbench, llama_shape


@pytest.fixture
def workbench() -> FakeWorkbench:
    """A workbench with a model of 30 blocks open."""
    return FakeWorkbench(llama_shape())
