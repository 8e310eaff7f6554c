"""Results that nobody measured, as like to measured ones as a table and a chart need."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lqtui.measure import paired
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.workbench import Result, Speed


def measured(
    plan: Plan,
    perplexity: float,
    se: float = 1.6,
    *,
    delta: float | None = None,
    kld: float | None = None,
    chunks: int = 5,
) -> Result:
    """A result for a plan, as a measurement of 5 chunks gives it; what it is with fewer is partial."""
    return Result(
        name=plan.recipe.name,
        digest=plan.digest,
        file_bytes=plan.file_bytes,
        bits_per_weight=plan.bits_per_weight,
        perplexity=perplexity,
        perplexity_se=se,
        delta_nll=None if delta is None else math.log1p(delta / 100),
        delta_nll_se=None if delta is None else 0.003 if delta else 0.0,
        delta_percent=delta,
        delta_percent_se=None if delta is None else 0.3 if delta else 0.0,
        kld=kld,
        kld_se=None if kld is None else kld / 60,
        top1_agreement=None if kld is None else 1 - kld,
        top1_agreement_se=None if kld is None else 0.012 if kld else 0.0,
        chunks=chunks,
        prompt=Speed(mean=412.0, sd=3.1, repetitions=5),
        generation=Speed(mean=58.2, sd=0.7, repetitions=5),
        partial=chunks < 5,
        recipe=plan.recipe,
    )


SEEDS = {
    "baseline_fp16": (18.8351, 0.0),
    "uniform_q4_0": (20.8235, 0.2562),
    "first_4_layers_q8": (20.1097, 0.2204),
    "first_8_layers_q8": (19.9, 0.2010),
    "last_4_layers_q8": (20.61, 0.2391),
    "last_8_layers_q8": (20.44, 0.2204),
    "middle_8_layers_q8": (19.95, 0.1790),
    "first_last_4_layers_q8": (19.98, 0.2057),
    "alternating_even_q8": (19.7152, 0.1620),
    "attention_q8": (19.42, 0.1411),
    "ffn_q8": (19.6, 0.1502),
}
"""Perplexity and KLD of every preset, for a chart that looks like one; some of them were measured."""


def seed_results(shape: ModelShape, chunks: int = 5) -> tuple[Result, ...]:
    """A result for every preset."""
    base, _ = SEEDS["baseline_fp16"]
    return tuple(
        measured(
            resolve(shape, preset(name, shape)), ppl, delta=100 * (ppl / base - 1), kld=kld, chunks=chunks
        )
        for name, (ppl, kld) in SEEDS.items()
    )


def scores_of(results: Iterable[Result], spread: float = 0.015) -> dict[str, paired.Scores]:
    """Scores of 20 chunks with about the results' KLDs, which vary from chunk to chunk by `spread` nats."""
    found = {}
    for number, result in enumerate(results):
        wave = np.sin(1.7 * (number + 1) * np.arange(1, 21))[:, None] * np.ones(8)
        kld = (result.kld or 0.0) + (spread if result.kld else 0.0) * wave
        found[result.digest] = paired.Scores(math.log(result.perplexity or 1.0) + kld, kld)
    return found
