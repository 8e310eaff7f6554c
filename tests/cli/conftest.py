"""Options for measurements that take no time."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def quick(tiny_corpus: Path) -> list[str]:
    return ["--corpus", str(tiny_corpus), "--ctx", "128", "--chunks", "2", "--threads", "1"]
