"""Tokens per second: one value per repetition, after a warm-up that does not count."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lqtui.llama.bench import generation_speed, prompt_speed
from lqtui.llama.runtime import backend, loaded_model


@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize("speed, tokens", [(prompt_speed, 16), (prompt_speed, 2100), (generation_speed, 4)])
def test_each_repetition_has_a_speed_and_the_warm_up_is_told_as_a_run(
    speed: object, tokens: int, repetitions: int, tiny_model: Path
) -> None:
    runs: list[tuple[int, int]] = []
    with backend(), loaded_model([tiny_model], 0) as model:
        speeds = speed(model, tokens, repetitions, 1, lambda done, total: runs.append((done, total)))  # type: ignore[operator]
    assert len(speeds) == repetitions
    assert all(math.isfinite(value) and value > 0 for value in speeds)
    assert runs == [(i + 1, repetitions + 1) for i in range(repetitions + 1)]
