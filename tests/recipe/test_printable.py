"""What strangers wrote is shown without anything that a terminal would obey."""

from __future__ import annotations

import unicodedata

from lqtui.recipe.printable import JOINERS, printable


def test_words_of_any_script_stay_as_they_are() -> None:
    text = "Größe 日本 مرحبا 👩 ≥ 4 bits"
    assert printable(text) == text


def test_escapes_control_characters_and_marks_of_direction_give_way_one_by_one() -> None:
    assert printable("\x1b]0;x\x07 \x9b2J \u202eback\u2066\n\t\r") == "�]0;x� �2J �back����"


def test_nothing_but_what_is_kept_can_move_a_cursor_or_hide() -> None:
    every = "".join(map(chr, range(0x20000)))
    shown = printable(every, keep="\n")
    assert len(shown) == len(every)
    assert {c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} == {"\n"}


def test_joiners_are_kept_where_emoji_and_scripts_need_them() -> None:
    assert printable("👩\u200d🔬\x07", keep=JOINERS) == "👩\u200d🔬�"
