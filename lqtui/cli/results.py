"""What was measured, as people read it and as `lqtui measure --json` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lqtui.cli.output import MIB, error, number, print_table, shown
from lqtui.workbench import Result, Speed

if TYPE_CHECKING:  # NumPy comes with them, which takes a tenth of a second to load
    from lqtui.measure.paired import Comparison
    from lqtui.measure.sequential import Look


@dataclass(frozen=True)
class Compared:
    """Two recipes beside each other: what their chunks say, and the verdict of this confidence.

    `look` is there where chunks were added until the verdict stood.
    """

    recipe: str
    other: str
    confidence: float
    comparison: Comparison
    look: Look | None
    sentence: str


def result_document(result: Result) -> dict[str, object]:
    """A result in JSON; numbers that are no numbers become null."""
    return {
        "name": result.name,
        "file_bytes": result.file_bytes,
        "bits_per_weight": result.bits_per_weight,
        "perplexity": result.perplexity,
        "perplexity_se": result.perplexity_se,
        "broken": result.broken,
        "delta_nll": result.delta_nll,
        "delta_nll_se": result.delta_nll_se,
        "delta_percent": result.delta_percent,
        "delta_percent_se": result.delta_percent_se,
        "kld": result.kld,
        "kld_se": result.kld_se,
        "kld_median": result.kld_median,
        "kld_p99": result.kld_p99,
        "kld_p999": result.kld_p999,
        "kld_max": result.kld_max,
        "top1_agreement": result.top1_agreement,
        "top1_agreement_se": result.top1_agreement_se,
        "rms_dp": result.rms_dp,
        "rms_dp_se": result.rms_dp_se,
        "chunks": result.chunks,
        "seconds": result.seconds,
        "prompt_tps": result.prompt.mean if result.prompt else None,
        "prompt_tps_sd": result.prompt.sd if result.prompt else None,
        "prompt_noisy": result.prompt.noisy if result.prompt else None,
        "generation_tps": result.generation.mean if result.generation else None,
        "generation_tps_sd": result.generation.sd if result.generation else None,
        "generation_noisy": result.generation.noisy if result.generation else None,
    }


def comparison_document(compared: Compared) -> dict[str, object]:
    """A comparison in JSON: differences are of the first recipe less the second."""
    found, look = compared.comparison, compared.look
    decided = look or found
    intervals: dict[str, tuple[float | None, ...] | None] = {
        "delta_nll": found.nll,
        "ppl_ratio": found.ppl_ratio,
        "delta_kld": found.kld,
    }
    if look:  # the ends of the others hold the truth only where the number of chunks was settled before
        intervals = {name: known and (*known[:2], None, None) for name, known in intervals.items()}
        intervals["delta_kld" if found.kld else "delta_nll"] = look.difference
    return {
        "recipe": compared.recipe,
        "other": compared.other,
        "chunks": found.chunks,
        "confidence": compared.confidence,
        **{
            f"{name}{end}": value
            for name, interval in intervals.items()
            for end, value in zip(("", "_se", "_low", "_high"), interval or (None,) * 4, strict=True)
        },
        "decided_on": found.decided_on.value,
        "verdict": decided.verdict.value,
        "decided_after": look.decided_after if look else None,
        "chunks_to_go": decided.chunks_to_go,
        "sentence": compared.sentence,
    }


def print_results(results: Sequence[Result]) -> None:
    """Results for people, errors beside the numbers."""
    compared = any(result.kld is not None for result in results)
    timed = any(result.prompt or result.generation for result in results)
    of_different_texts = len({result.chunks for result in results}) > 1
    divergence = ["KLD", "± SE", "99 %", "99.9 %", "same top"] if compared else []
    speeds = ["pp t/s", "tg t/s"] if timed else []
    chunks = ["chunks"] if of_different_texts else []
    rows = [["recipe", "MiB", "bpw", *chunks, "PPL", "± SE", "ΔPPL %", "± SE", *divergence, *speeds]]
    for r in results:
        rows.append(
            [
                r.title,
                f"{r.file_bytes / MIB:.1f}",
                f"{r.bits_per_weight:.2f}",
                *((f"{r.chunks}",) if of_different_texts else ()),
                number(r.perplexity, 4),
                error(r.perplexity_se, 4),
                *_delta(r),
                *(_divergence(r) if compared else ()),
                *(_speed(speed) for speed in (r.prompt, r.generation) if timed),
            ]
        )
    print_table(rows)
    if any(speed.noisy for r in results for speed in (r.prompt, r.generation) if speed):
        print("\n* the runs differ by more than 10 %: other work slowed some down; --fresh measures anew")


def _delta(result: Result) -> tuple[str, str]:
    """The change against the base and its error, as two cells."""
    if result.delta_percent == 0 and not result.delta_percent_se:
        return "base", ""
    return number(result.delta_percent, 2, sign=True), error(result.delta_percent_se, 2)


def _speed(speed: Speed | None) -> str:
    return f"{speed.mean:.1f} ± {speed.sd:.1f}{'*' if speed.noisy else ''}" if speed else "–"


def _divergence(result: Result) -> list[str]:
    same = result.top1_agreement
    return [
        number(result.kld, 5),
        error(result.kld_se, 5),
        number(result.kld_p99, 4),
        number(result.kld_p999, 4),
        number(same if same is None else 100 * same, 2) + (" %" if same is not None else ""),
    ]


def print_comparison(compared: Compared) -> None:
    """A comparison for people: differences with their errors, and the verdict."""
    found = compared.comparison
    rows = [["", "", "± SE"]]
    if found.kld is not None:
        rows.append(["ΔKLD", number(found.kld.value, 6, sign=True), error(found.kld.se, 6)])
    rows.append(["ΔNLL", number(found.nll.value, 6, sign=True), error(found.nll.se, 6)])
    rows.append(["PPL ratio", number(found.ppl_ratio.value, 5), error(found.ppl_ratio.se, 5)])
    chunks = f"{found.chunks} chunk{'s' if found.chunks > 1 else ''}"
    print(shown(f"\n{compared.recipe} less {compared.other}, by chunk, on {chunks}:"))
    print_table(rows)
    print(shown(f"\n{compared.sentence}"))
