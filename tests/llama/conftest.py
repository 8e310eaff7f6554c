"""llama.cpp in this process, once for all tests that want it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lqtui.llama import runtime


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """llama.cpp, which would forget the tables of the IQ types if it were ended: 10 s of work for IQ1_S."""
    with runtime.backend():
        yield
