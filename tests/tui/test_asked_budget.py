"""Budgets as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lqtui.tui.asked_budget import AskedBudget, Budgeted, parse_budget

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("typed", "of", "amount"),
    [
        ("400", Budgeted.FILE, 400 * MIB),
        ("400MiB", Budgeted.FILE, 400 * MIB),
        (" 400 mib ", Budgeted.FILE, 400 * MIB),
        ("5.25", Budgeted.FILE, 5.25 * MIB),
        (".5GiB", Budgeted.FILE, 0.5 * GIB),
        ("1,024MiB", Budgeted.FILE, 1024 * MIB),
        ("4GB", Budgeted.FILE, 4e9),
        ("400MB", Budgeted.FILE, 4e8),
        ("4.5bpw", Budgeted.BITS, 4.5),
        ("4.5 BPW", Budgeted.BITS, 4.5),
        ("6GiB vram", Budgeted.VRAM, 6 * GIB),
        ("6 gib VRAM", Budgeted.VRAM, 6 * GIB),
        ("6g ram", Budgeted.RAM, 6 * GIB),
        ("6000 ram", Budgeted.RAM, 6000 * MIB),
    ],
)
def test_a_budget_is_a_size_or_bits_or_memory(typed: str, of: Budgeted, amount: float) -> None:
    assert parse_budget(typed) == AskedBudget(of, pytest.approx(amount))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Type a budget"),
        ("  ", "Type a budget"),
        ("small", "'small' is not a budget"),
        ("-5MiB", "'-5MiB' is not a budget"),
        ("0", "more than 0"),
        ("0.0 bpw", "more than 0"),
        ("4,5bpw", "a comma"),
        ("4 parsecs", "'parsecs' is not a unit"),
        ("1.2.3MiB", "no number"),
        ("4bpw vram", "mixes bits per weight with memory"),
        ("nan", "not a budget"),
        ("1e400", "not a budget"),
        ("9" * 400, "not a size"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(typed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        parse_budget(typed)
    assert str(refusal.value).endswith(".")


@given(st.text(max_size=30))
def test_no_text_does_worse_than_a_sentence(typed: str) -> None:
    try:
        assert parse_budget(typed).amount > 0
    except ValueError as refusal:
        assert str(refusal)[0].isupper() or str(refusal)[0] in "'\""
