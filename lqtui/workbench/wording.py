"""What was measured, in words: a job's outcome, and the lines in a script's header."""

from __future__ import annotations

from lqtui.workbench.values import Result, Settings


def outcome(result: Result | None) -> str:
    """One line on what a measurement found."""
    if result is None or result.perplexity is None or result.perplexity_se is None:
        return "measured"
    if result.broken:
        return "this recipe breaks the model: its perplexity is not a number"
    parts = [f"PPL {result.perplexity:.4f} ± {result.perplexity_se:.4f}"]
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
    for speed, test in (
        (result.prompt, f"pp{settings.n_prompt}"),
        (result.generation, f"tg{settings.n_gen}"),
    ):
        if speed:
            lines.append(f"{test} {speed.mean:.2f} +/- {speed.sd:.2f} t/s, {settings.threads_used} threads")
    return lines
