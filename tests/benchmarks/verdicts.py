"""Scored tokens until it is clear which of two close recipes is better: two ways."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PAIRS = (
    ("first_8_layers_q8", "middle_8_layers_q8"),
    ("attention_q8", "ffn_q8"),
    ("last_8_layers_q8", "middle_8_layers_q8"),
    ("first_8_layers_q8", "first_last_4_layers_q8"),
)
_SCORED = 255
"""Tokens of a chunk of 512 that are scored."""


def verdicts(model: Path, corpus: Path, threads: int, judged: int, work: Path) -> str:
    """A Markdown table of pairs: tokens by the sequential, paired test, and until PPL error bars separate.

    The recipes are also measured on `judged` chunks, from the beginning of the text. What llama-perplexity
    prints of those, PPL ± SE, tells how many it takes until the bars no longer overlap: errors fall with the
    root of the chunks. A verdict is right where the paired KLD of these chunks gives the same.
    """
    rows = [
        "| pair | lqtui: tokens | verdict | right | error bars: tokens | times fewer |",
        "|---|---|---|---|---|---|",
    ]
    factors = []
    with tempfile.TemporaryDirectory(dir=work) as home:
        for a, b in PAIRS:
            options = ["--corpus", corpus, "--threads", threads, "--chunks", judged, "--compare", a, b]
            soon = _measured(home, model, [*options, "--until-verdict"])["comparison"]
            late = _measured(home, model, options)
            one, other = late["results"]
            apart = abs(one["perplexity"] - other["perplexity"])
            bars = one["perplexity_se"] + other["perplexity_se"]
            needed = math.ceil(judged * (bars / apart) ** 2) * _SCORED
            taken = soon["chunks"] * _SCORED
            judgement = late["comparison"]["verdict"]
            right = "open" if judgement == "can't tell" else "yes" if judgement == soon["verdict"] else "no"
            factors.append(needed / taken)
            rows.append(
                f"| {a} / {b} | {taken:,} | {soon['verdict']} | {right} | {needed:,} "
                f"| {needed / taken:,.0f} |"
            )
    rows.append(f"| **median** | | | | | **{statistics.median(factors):,.0f}** |")
    return "\n".join(rows)


def _measured(home: str, model: Path, options: list[object]) -> Any:
    command = [sys.executable, "-m", "lqtui", "measure", model, *options, "--json"]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "LQTUI_HOME": home},
    )
    return json.loads(done.stdout)
