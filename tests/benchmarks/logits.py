"""Milliseconds per row that scoring logits takes: NLL alone, and with the KL divergence from a base.

Run: python tests/benchmarks/logits.py [--rows 64] [--rounds 7]
Prints the least of all rounds, for vocabularies of 49,152, 151,936 and 262,144 words, on one and two threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lqtui.measure.divergence import BaseRows, token_divergence
from lqtui.measure.perplexity import token_nll

VOCABULARIES = (49_152, 151_936, 262_144)
THREADS = (1, 2)


def least_ms(rounds: int, rows: int, score: Callable[..., object], *inputs: object) -> float:
    """The fastest of some rounds, per row."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        score(*inputs)
        times.append(time.perf_counter() - began)
    return 1000 * min(times) / rows


def main() -> None:
    """Time each vocabulary, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    print(f"ms per row, least of {options.rounds} rounds of {options.rows} rows")
    print(f"{'words':>8}{'threads':>9}{'NLL':>9}{'NLL + KLD':>12}{'ratio':>8}")
    for words in VOCABULARIES:
        logits = 3 * random.standard_normal((options.rows, words), np.float32)
        recipe = logits + random.standard_normal(logits.shape, np.float32) / 10
        tokens = random.integers(0, words, options.rows).astype(np.int32)
        base = BaseRows.of(logits, tokens)
        for threads in THREADS:
            with ThreadPoolExecutor(threads) as workers:
                nll = least_ms(options.rounds, options.rows, token_nll, recipe, tokens, workers)
                kld = least_ms(options.rounds, options.rows, token_divergence, recipe, base, workers)
            print(f"{words:>8,}{threads:>9}{nll:>9.3f}{kld:>12.3f}{kld / nll:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
