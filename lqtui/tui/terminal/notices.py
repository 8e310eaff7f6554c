"""Telling a person who looks elsewhere: what the terminal is sent so that the desktop shows a line of text.

There are two ways that terminals know, OSC 9 and OSC 777, and each ignores what it does not know. A terminal
that knows both would tell twice, so it gets one of them. The bell comes with it: it marks the window, also
where neither is known, and under tmux and screen, which pass on the rest only where they are allowed to.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.message import Message

from lqtui.recipe.printable import printable
from lqtui.tui.widgets.quantities import clock
from lqtui.workbench import Job, JobState

_BELL, _ESCAPE = "\a", "\x1b"
_LONGEST = 160
_KNOW_777 = ("foot", "rxvt", "ghostty")
_NO_TEXT = ("", "dumb", "linux", "vt100", "vt220")
"""Terminals that would show the text itself, or hang on it."""


class TerminalNotice(Message):
    """The terminal is to tell a text outside of its window."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def ended_notice(job: Job) -> str:
    """What to tell of a job that has ended: what it was, how it went, and how long it took."""
    how = "failed" if job.state is JobState.FAILED else "done"
    return f"{job.title}: {job.message or how} ({how} after {clock(job.elapsed)})"


def terminal_notice(text: str, environment: Mapping[str, str]) -> str:
    """What a terminal is sent to tell a text outside of its window, and the bell."""
    text = printable(text.replace(";", ","))[:_LONGEST]
    term = environment.get("TERM", "")
    in_tmux, in_screen = "TMUX" in environment, "STY" in environment
    if term in _NO_TEXT and not (in_tmux or in_screen):
        return _BELL
    knows_777 = term.startswith(_KNOW_777) or "VTE_VERSION" in environment
    sent = f"{_ESCAPE}]777;notify;lqtui;{text}{_BELL}" if knows_777 else f"{_ESCAPE}]9;lqtui: {text}{_BELL}"
    if in_tmux:
        sent = f"{_ESCAPE}Ptmux;{sent.replace(_ESCAPE, _ESCAPE * 2)}{_ESCAPE}\\"
    elif in_screen:
        sent = f"{_ESCAPE}P{sent}{_ESCAPE}\\"
    return sent + _BELL
