"""Sentences for the status line: how the recipe under the results' cursor stands beside the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lqtui.measure.rounding import difference, plus_minus, rounded, small
from lqtui.tui.keys.keymap import first_key
from lqtui.tui.widgets.quantities import size
from lqtui.tui.widgets.result_columns import Row
from lqtui.tui.widgets.standings import CONFIDENCE, Standings, is_base

if TYPE_CHECKING:
    from lqtui.measure.paired import Comparison, Interval


def sentences(row: Row, standings: Standings, key: Callable[[str], str] = first_key) -> list[str]:
    """What a row says, in wordings from long to short; `key` tells the key of a command."""
    reference = standings.reference
    result, found = row.result, row.comparison
    name, facts = result.title, _facts(row, key)
    if result.broken:
        return [f"{name} breaks the model: its probabilities are not numbers.", f"{name} breaks the model."]
    if row.is_reference:
        other = f"{key('results.refer')} on another compares with that"
        return [
            f"{name} is the one that the others are compared with; {other}. {facts}",
            f"{name} is the one that the others are compared with. {facts}",
            f"The others are compared with {name}. {facts}",
            f"The others are compared with {name}.",
        ]
    if is_base(result):
        return [
            f"{name} is the base model, which KLD and ΔPPL are told against. {facts}",
            f"{name} is the base model. {facts}",
            f"{name} is the base model.",
        ]
    if found is None or reference is None or not math.isfinite(found.nll.value):
        return [f"{name}: {facts}", facts]
    return _compared(name, reference.title, found, together=standings.together)


def _compared(name: str, other: str, found: Comparison, *, together: bool) -> list[str]:
    """The verdict with what it rests on."""
    chunks = f"{found.chunks} chunk{'s' if found.chunks > 1 else ''}"
    sure = f"{100 * CONFIDENCE:g} %"
    all_rows = " for all rows together" if together else ""
    confident = f"{sure}{all_rows or ' confidence'}"
    nll = f"ΔNLL {_said(found.nll)}"
    both = f"ΔKLD {_said(found.kld)}, {nll}" if found.kld else nll
    deciding = f"ΔKLD {_said(found.kld)}" if found.kld else nll
    if found.verdict != "can't tell":
        verdict = found.verdict.value
        return [
            f"{name} is {verdict} than {other} ({confident}, {chunks}): {both} nats a token.",
            f"{name} is {verdict} than {other} ({sure}{all_rows}, {chunks}): {both} nats.",
            f"{verdict.capitalize()} than {other} ({sure}{all_rows}, {chunks}): {both}.",
            f"{verdict.capitalize()} than {other} ({sure}{all_rows}): {deciding}.",
            f"{verdict.capitalize()} ({sure}{all_rows}): {deciding}.",
        ]
    more = _more(found)
    at = f"at {confident}"
    return [
        f"Can't tell {name} from {other} {at} after {chunks}, {more}: {both} nats a token.",
        f"Can't tell {name} from {other} ({sure}{all_rows}, {chunks}), {more}: {both}.",
        f"Can't tell it from {other} ({sure}{all_rows}, {chunks}), {more}: {deciding}.",
        f"Can't tell after {chunks}, {more}: {deciding}.",
    ]


def _more(found: Comparison) -> str:
    if found.chunks_to_go is not None:
        return f"~{found.chunks_to_go} more may do"
    return "which is too few" if found.chunks < 2 else "nor would many more do"


def _said(interval: Interval) -> str:
    if not math.isfinite(interval.se):
        return f"{plus_minus(difference(interval.value, None))} ±?"
    return plus_minus(difference(interval.value, interval.se))


def _facts(row: Row, key: Callable[[str], str]) -> str:
    """Size, quality and speed, as far as they are known."""
    result = row.result
    parts = [size(result.file_bytes)]
    if result.kld is not None and not is_base(result):
        parts.append(f"KLD {plus_minus(small(result.kld, result.kld_se))}")
    if result.perplexity is not None and not result.broken:
        parts.append(f"PPL {plus_minus(rounded(result.perplexity, result.perplexity_se))}")
    for test, speed in (("pp", result.prompt), ("tg", result.generation)):
        if speed is not None:
            disturbed = f" (~ disturbed, {key('run.again')} measures it again)" if speed.noisy else ""
            parts.append(f"{test} {rounded(speed.mean, speed.sd)[0]} t/s{disturbed}")
    if result.partial and row.wanted:
        parts.append(f"{result.chunks}/{row.wanted} chunks so far")
    return f"{', '.join(parts)}."
