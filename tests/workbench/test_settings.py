"""Settings: what is chosen is used, and what is not follows from the machine."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from lqtui.workbench import Settings


@pytest.fixture
def hyperthreaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16 if logical else 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)


@pytest.mark.usefixtures("hyperthreaded")
def test_one_thread_a_core_is_used_and_scoring_tries_one_for_each_logical_one() -> None:
    assert (Settings().threads_used, Settings().other_threads) == (8, (16,))


@pytest.mark.usefixtures("hyperthreaded")
def test_a_chosen_number_of_threads_is_used_and_no_other_tried() -> None:
    assert (Settings(threads=3).threads_used, Settings(threads=3).other_threads) == (3, ())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process is kept from")
@pytest.mark.usefixtures("hyperthreaded")
def test_no_more_threads_are_used_than_the_process_may_have_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert (Settings().threads_used, Settings().other_threads) == (2, ())


def test_half_of_the_free_memory_may_be_used_unless_a_bound_is_chosen() -> None:
    free = psutil.virtual_memory().available
    assert Settings(memory=123).memory_used == 123
    assert free // 4 < Settings().memory_used < free
