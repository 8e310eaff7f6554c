"""What a terminal is sent when a job has ended: one notice that it knows, and the bell."""

from __future__ import annotations

import pytest
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual import events

from lqtui.tui.app import LqtuiApp
from lqtui.tui.terminal.notices import terminal_notice
from lqtui.workbench import JobState
from lqtui.workbench.preferences import Notifications, Preferences


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({"TERM": "xterm-256color"}, "\x1b]9;lqtui: done\a\a"),
        ({"TERM": "xterm-kitty"}, "\x1b]9;lqtui: done\a\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;lqtui;done\a\a"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "\x1b]777;notify;lqtui;done\a\a"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x"}, "\x1bPtmux;\x1b\x1b]9;lqtui: done\a\x1b\\\a"),
        ({"TERM": "screen", "STY": "1.x"}, "\x1bP\x1b]9;lqtui: done\a\x1b\\\a"),
        ({"TERM": "linux"}, "\a"),
        ({}, "\a"),
    ],
)
def test_each_terminal_gets_the_notice_that_it_knows_and_the_bell(environment, sent) -> None:
    assert terminal_notice("done", environment) == sent


def test_what_a_model_is_called_commands_no_terminal() -> None:
    sent = terminal_notice("a\x1b]52;c;x\x07;b" + 500 * "c", {"TERM": "foot"})
    assert sent.count("\x1b") == 1 and sent.count("\a") == 2 and sent.count(";") == 3 and len(sent) < 200


@pytest.mark.parametrize(
    ("when", "told"),
    [
        (Notifications.AUTO, ["long: PPL 20 (done after 0:12)", "bad: no memory (failed after 0:30)"]),
        (
            Notifications.ALWAYS,
            [
                "seen: PPL 19 (done after 0:40)",
                "long: PPL 20 (done after 0:12)",
                "short: PPL 21 (done after 0:02)",
                "bad: no memory (failed after 0:30)",
            ],
        ),
        (Notifications.NEVER, []),
    ],
)
async def test_who_looks_elsewhere_is_told_of_long_jobs_and_who_prefers_so_of_all_or_none(
    when, told, monkeypatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for other in ("TMUX", "STY", "VTE_VERSION"):
        monkeypatch.delenv(other, raising=False)
    bench = FakeWorkbench(llama_shape())
    app = LqtuiApp(bench, None, read_meters=None, preferences=Preferences(notifications=when))
    async with app.run_test() as pilot:
        jobs = [bench._start(title, "measure") for title in ("seen", "long", "short", "bad", "dropped")]
        await pilot.pause()
        sent: list[str] = []
        app._driver.write = sent.append

        async def ends(number: int, state: JobState, elapsed: float, message: str) -> None:
            bench.advance(jobs[number].id, state=state, elapsed=elapsed, message=message)
            await pilot.pause()

        await ends(0, JobState.DONE, 40, "PPL 19")
        app.post_message(events.AppBlur())
        await pilot.pause()
        await ends(1, JobState.DONE, 12, "PPL 20")
        await ends(2, JobState.DONE, 2, "PPL 21")
        await ends(3, JobState.FAILED, 30, "no memory")
        await ends(4, JobState.CANCELLED, 99, "cancelled")
        begins = "\x1b]9;lqtui: "
        notices = [text.removeprefix(begins).rstrip("\a") for text in sent if text.startswith(begins)]
        assert notices == told
