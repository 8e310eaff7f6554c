"""The README tells what the program itself knows.

`LQTUI_WRITE_README=1 pytest tests/tui/test_readme.py` writes the keys into it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from typer.main import get_command

from lqtui.cli.commands import app
from lqtui.tui.screens.help import help_sections

README = Path(__file__).parent.parent.parent / "README.md"
BEGIN, END = "<!-- every key, from the registry -->\n", "<!-- end of the keys -->\n"


def keys_table() -> str:
    """What `?` shows of keys, as Markdown."""
    lines = ["| key | does |", "|---|---|"]
    for title, rows in help_sections():
        if title == "How to read the screen":
            continue
        lines.append(f"| **{title}** | |")
        for keys, sentence in rows:
            shown = " ".join(f"`{key}`" for key in keys.replace("|", "\\|").split())
            lines.append(f"| {shown} | {sentence} |")
    return "\n".join(lines) + "\n"


def test_every_key_is_in_the_readme_as_the_app_has_it() -> None:
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    told, _, after = rest.partition(END)
    if os.environ.get("LQTUI_WRITE_README"):
        README.write_text(before + BEGIN + keys_table() + END + after, encoding="utf-8")
        return
    assert told == keys_table()


def test_every_command_and_every_environment_variable_of_lqtuis_own_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in commands if name != "open" and f"`lqtui {name}" not in text] == []
    sources = (README.parent / "lqtui").rglob("*.py")
    used = {name for path in sources for name in re.findall(r"\bLQTUI_[A-Z_]+", path.read_text("utf-8"))}
    assert used and [name for name in sorted(used) if f"`{name}" not in text] == []
