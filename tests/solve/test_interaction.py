"""The interaction: from sums of singles to what mixes measure, and no further than they tell."""

from __future__ import annotations

import numpy as np
import pytest

from lqtui.solve.interaction import Interaction, Mixed, fit_interaction


def test_without_mixes_costs_add_up() -> None:
    assert fit_interaction([]).predict(0.03) == pytest.approx(0.03)
    assert Interaction().predict(0.0) == 0.0


def test_one_mix_settles_the_scale() -> None:
    found = fit_interaction([Mixed(0.10, 0.085)])
    assert found.predict(0.10) == pytest.approx(0.085, rel=0.01)
    assert found.predict(0.01) == pytest.approx(0.0085, rel=0.03)


def test_mixes_on_a_power_law_are_told_within_their_noise() -> None:
    random = np.random.default_rng(1)
    singles = np.geomspace(0.001, 0.3, 8)
    mixes = [Mixed(s, 0.9 * s**1.08 * np.exp(random.normal(0, 0.05))) for s in singles]
    found = fit_interaction(mixes)
    for s in np.geomspace(0.002, 0.2, 5):
        assert found.predict(s) == pytest.approx(0.9 * s**1.08, rel=0.1)
    assert found.measured == 8 and 0.02 < found.spread < 0.15


def test_mixes_that_cost_nothing_say_nothing() -> None:
    assert fit_interaction([Mixed(0.0, 0.0), Mixed(0.1, 0.0)]) == Interaction()
