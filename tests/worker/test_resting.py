"""A child that rests: its work halts between two steps, and goes on however closely the signals follow."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

_IN_ONE_STEP = """
import os, signal
from lqtui.worker import client
from lqtui.worker.child.__main__ import _rest_when_told

_rest_when_told()
client._living.add(os.getpid())
both = {signal.SIGUSR1, signal.SIGUSR2}
for _ in range(3):
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    assert client.rest(os.getpid())
    client.wake(os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
print("goes on")
"""


def test_a_child_told_to_rest_and_to_go_on_within_one_step_goes_on() -> None:
    child = subprocess.run(
        [sys.executable, "-c", _IN_ONE_STEP],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a thread more would take the blocked signals
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert child.stdout == "goes on\n"
