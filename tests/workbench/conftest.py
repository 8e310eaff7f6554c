"""A workbench on the demo model, with measurements that take no time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lqtui.store.paths import Paths
from lqtui.workbench import Settings, Workbench
from tests.workbench.bench_jobs import QUICK


@pytest.fixture
def settings(english: Path) -> Settings:
    return Settings(corpus=english, **QUICK)


@pytest.fixture
async def bench(paths: Paths, settings: Settings) -> AsyncIterator[Workbench]:
    bench = Workbench(paths, settings)
    yield bench
    await bench.close()


@pytest.fixture
async def opened(bench: Workbench, demo_model: Path) -> Workbench:
    await bench.open(demo_model)
    return bench
