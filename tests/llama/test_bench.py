"""Tokens per second: one value per repetition, after a warm-up that does not count."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lqtui.llama import bench
from lqtui.llama.bench import generation_speed, prompt_speed
from lqtui.llama.runtime import backend, loaded_model

Speed = Callable[..., list[float]]


@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize("speed, tokens", [(prompt_speed, 16), (prompt_speed, 2100), (generation_speed, 4)])
def test_each_repetition_has_a_speed_and_the_warm_up_is_told_as_a_run(
    speed: Speed, tokens: int, repetitions: int, tiny_model: Path
) -> None:
    runs: list[tuple[int, int]] = []
    with backend(), loaded_model([tiny_model], 0) as model:
        speeds = speed(model, tokens, repetitions, 1, lambda done, total: runs.append((done, total)))
    assert len(speeds) == repetitions
    assert all(math.isfinite(value) and value > 0 for value in speeds)
    assert runs == [(i + 1, repetitions + 1) for i in range(repetitions + 1)]


@pytest.mark.parametrize(
    "speed, tokens, decodes", [(prompt_speed, 16, 1), (prompt_speed, 4096, 2), (generation_speed, 16, 16)]
)
def test_a_speed_is_the_tokens_by_the_seconds_of_their_decodes_without_the_warm_up(
    speed: Speed, tokens: int, decodes: int, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    def on_run(done: int, total: int) -> None:
        nonlocal runs
        runs = done
        clock.now += 5  # what is done between the runs is no part of them

    def decode(made: object, batch: object) -> None:
        clock.now += [60, 2, 4][runs] / decodes  # the warm-up, and then two runs of 2 and of 4 seconds

    clock = SimpleNamespace(now=1000.0, perf_counter_ns=lambda: round(1e9 * clock.now))
    monkeypatch.setattr(bench, "time", clock)
    monkeypatch.setattr(bench, "decode", decode)
    with backend(), loaded_model([tiny_model], 0) as model:
        assert speed(model, tokens, 2, 1, on_run) == pytest.approx([tokens / 2, tokens / 4])
