"""What was measured, in words: a job's outcome, and the lines in a script's header."""

from __future__ import annotations

from collections.abc import Sequence

from lqtui.measure.rounding import plus_minus, small
from lqtui.workbench.values import Result, Settings


def threads_said(settings: Settings) -> str:
    """How many threads are used, in words."""
    used = settings.threads_used
    return f"{used} thread{'s' if used != 1 else ''}"


def outcome(results: Sequence[Result]) -> str:
    """One line on what a measurement of one or more recipes found."""
    broken = sum(result.broken for result in results)
    if len(results) > 1:
        found = f"{len(results)} recipes measured"
        return f"{found}; {broken} of them break the model: perplexity is not a number" if broken else found
    result = results[0] if results else None
    if result is None or result.perplexity is None or result.perplexity_se is None:
        return "measured"
    if broken:
        return "this recipe breaks the model: its perplexity is not a number"
    parts = []
    if result.kld is not None and result.kld_se is not None:
        parts.append(f"KLD {plus_minus(small(result.kld, result.kld_se))}")
    parts.append(f"PPL {result.perplexity:.4f} ± {result.perplexity_se:.4f}")
    if result.prompt and result.generation:
        parts.append(f"pp {result.prompt.mean:.1f} t/s, tg {result.generation.mean:.1f} t/s")
    return ", ".join(parts)


def measured_lines(result: Result | None, settings: Settings, corpus_name: str) -> list[str]:
    """What a script's header says was measured; nothing where nothing was."""
    if result is None or result.perplexity is None or result.partial:
        return []
    chunks = f"{corpus_name}, {result.chunks} chunks of {settings.n_ctx}"
    if result.broken:
        return [f"PPL is not a number on {chunks}: this recipe breaks the model"]
    lines = [f"PPL {result.perplexity:.4f} +/- {result.perplexity_se:.5f} on {chunks}"]
    if result.kld is not None and result.top1_agreement is not None:
        lines.append(
            f"KL divergence from the base model {result.kld:.6f} +/- {result.kld_se:.6f} nats, "
            f"99 % of tokens below {result.kld_p99:.4f}, same top token {result.top1_agreement:.2%}"
        )
    for speed, test in (
        (result.prompt, f"pp{settings.n_prompt}"),
        (result.generation, f"tg{settings.n_gen}"),
    ):
        if speed:
            lines.append(f"{test} {speed.mean:.2f} +/- {speed.sd:.2f} t/s, {threads_said(settings)}")
    return lines
