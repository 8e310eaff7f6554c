"""The divergence of `lqtui measure --kld` is stock llama-perplexity's, but for how that stores the base.

llama-perplexity keeps the base's log-probabilities as 16-bit integers between the highest and 16 nats below
it, 2.4e-4 apart, and leaves out all words below e⁻¹⁶. Rounding puts a token's KLD off by 1e-4 or so; and the
tail that is left out has many words that the recipe finds likelier than the base does, so that the mean comes
out some 0.2 % higher. Rather than allow for so much, the tests take llama-perplexity's own file of the base,
work out what its storage does to each number, and want llama-perplexity's number to be that one, to the last
digit printed, and lqtui's to be the one of the logits as they are.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stock_output import stock_output

from lqtui.llama import evaluator, runtime
from lqtui.llama.corpus import corpus_chunks
from lqtui.measure.divergence import Divergence, divergence
from lqtui.measure.perplexity import PairedDifference, paired_difference

pytestmark = pytest.mark.reference

N_CTX = 512
SCORED = N_CTX - 1 - N_CTX // 2


@dataclass(frozen=True)
class Stored:
    """llama-perplexity's file of a base model's log-probabilities."""

    scale: NDArray[np.float32]
    lowest: NDArray[np.float32]
    integers: NDArray[np.uint16]

    @classmethod
    def read(cls, path: Path) -> Stored:
        raw = np.memmap(path, np.uint8, "r")
        assert raw[:8].tobytes() == b"_logits_"
        n_ctx, n_vocab, chunks = raw[8:20].view(np.int32)
        assert n_ctx == N_CTX
        rows = raw[20 + 4 * N_CTX * chunks :].view(np.uint16).reshape(chunks, SCORED, -1)
        heads = np.ascontiguousarray(rows[:, :, :4]).view(np.float32)
        return cls(heads[:, :, 0], heads[:, :, 1], rows[:, :, 4 : 4 + n_vocab])

    def log_probabilities(self, chunk: int) -> NDArray[np.float32]:
        """Shape (tokens, n_vocab)."""
        return self.scale[chunk][:, None] * self.integers[chunk] + self.lowest[chunk][:, None]


def log_softmax(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    lowered = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    lowered -= np.log(np.exp(lowered).sum(axis=1, keepdims=True))
    return lowered


def summary(
    base: list[NDArray[Any]], recipe: list[NDArray[np.float64]], targets: list[NDArray[np.int32]]
) -> tuple[Divergence, PairedDifference]:
    """What log-probabilities of the base and of a recipe, chunk by chunk, say of the recipe."""
    nll, base_nll, kld, same = [], [], [], []
    for p, q, tokens in zip(base, recipe, targets, strict=True):
        at = np.arange(len(tokens)), tokens
        nll.append(-q[at])
        base_nll.append(-p[at].astype(np.float64))
        kld.append(np.where(p > -16 if p.dtype == np.float32 else True, np.exp(p) * (p - q), 0).sum(axis=1))
        same.append(p.argmax(axis=1) == q.argmax(axis=1))
    found = [np.concatenate(values) for values in (nll, base_nll, kld, same)]
    return divergence(*found), paired_difference(*found[:2])


def decoded(
    model: Path, corpus: Path, chunks: int
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int32]]]:
    """A model's log-probabilities of each chunk, and the tokens that come."""
    rows, targets = [], []
    with runtime.backend(), evaluator.opened([model], 0, N_CTX, 1) as decoder:
        for chunk in corpus_chunks(decoder.model, corpus, N_CTX, chunks):
            (piece,) = decoder.pieces(chunk)
            rows.append(log_softmax(decoder.decode(piece)))
            targets.append(piece.targets)
    return rows, targets


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def printed(text: str) -> dict[str, tuple[float, ...]]:
    """The numbers of llama-perplexity's summary by what stands before them; percents as shares."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([^:]+?)\s*:\s+([-0-9.]+)%?(?: ±\s+([0-9.]+))?\s*(%?)", line.strip()):
            share = 100 if "%" in line.split(":")[1] else 1
            found[re.sub(r"\s+", " ", match[1])] = tuple(float(n) / share for n in match.groups()[1:3] if n)
    return found


@pytest.mark.parametrize(
    "model, preset, chunks",
    [("demo_model", "uniform_q4_0", 2), ("demo_model", "attention_q8", 2), ("smollm2", "uniform_q4_0", 1)],
)
def test_the_divergence_is_stock_llama_perplexitys(
    model: str,
    preset: str,
    chunks: int,
    request: pytest.FixtureRequest,
    llama_tools: Path,
    wikitext: Path,
    tmp_path: Path,
) -> None:
    base: Path = request.getfixturevalue(model)
    lqtui = [sys.executable, "-m", "lqtui"]
    quantized, logits = tmp_path / "quantized.gguf", tmp_path / "base.kld"
    run(*lqtui, "quantize", base, quantized, "--preset", preset)
    stock = [llama_tools / "llama-perplexity", "-t", 1, "--kl-divergence-base", logits]
    run(*stock, "-m", base, "-f", wikitext, "-c", N_CTX, "--chunks", chunks)
    theirs = printed(stock_output([*stock, "-m", quantized, "--kl-divergence"], "Same top p:"))
    command = ["measure", base, "--preset", preset, "--kld", "--corpus", wikitext, "--chunks", chunks]
    (ours,) = json.loads(run(*lqtui, *command, "--threads", 1, "--json"))["results"]

    recipe, targets = decoded(quantized, wikitext, chunks)
    stored = Stored.read(logits)
    rounded, log_ratio = summary(
        [stored.log_probabilities(chunk) for chunk in range(chunks)], recipe, targets
    )
    exact, exact_log_ratio = summary(list(decoded(base, wikitext, chunks)[0]), recipe, targets)
    assert ours["chunks"] == chunks and rounded.tokens == chunks * SCORED
    for name, number, by_storage, whole in (
        ("Mean KLD", ours["kld"], rounded.kld.value, exact.kld.value),
        ("Median KLD", ours["kld_median"], rounded.kld_median, exact.kld_median),
        ("99.0% KLD", ours["kld_p99"], rounded.kld_99, exact.kld_99),
        ("99.9% KLD", ours["kld_p999"], rounded.kld_99_9, exact.kld_99_9),
        ("Maximum KLD", ours["kld_max"], rounded.kld_max, exact.kld_max),
        (
            "Mean ln(PPL(Q)/PPL(base))",
            ours["delta_nll"],
            log_ratio.mean,
            exact_log_ratio.mean,
        ),
        ("RMS Δp", ours["rms_dp"], rounded.rms_dp.value, exact.rms_dp.value),
        ("Same top p", ours["top1_agreement"], rounded.same_top.value, exact.same_top.value),
    ):
        digits = 5e-6 if name in ("RMS Δp", "Same top p") else 1e-6
        # It interpolates in single precision, which tells where there are great gaps between two tokens.
        digits += 2e-5 * by_storage if name.startswith("99") else 0
        assert number == pytest.approx(whole, rel=1e-5), name
        assert theirs[name][0] == pytest.approx(by_storage, abs=2 * digits), name
        assert number == pytest.approx(theirs[name][0], rel=5e-3, abs=2e-4), name
    for name, error in (
        ("Mean KLD", ours["kld_se"]),
        ("Mean ln(PPL(Q)/PPL(base))", ours["delta_nll_se"]),
        ("RMS Δp", ours["rms_dp_se"]),
        ("Same top p", ours["top1_agreement_se"]),
    ):
        assert error == pytest.approx(theirs[name][1], abs=2e-5), name
    assert ours["perplexity"] == pytest.approx(theirs["Mean PPL(Q)"][0], rel=1e-7)
    assert ours["perplexity_se"] == pytest.approx(theirs["Mean PPL(Q)"][1], rel=1e-6)
