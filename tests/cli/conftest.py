"""Options for measurements that take no time."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def quick(english: Path) -> list[str]:
    return ["--corpus", str(english), "--ctx", "128", "--chunks", "2", "--threads", "1"]
