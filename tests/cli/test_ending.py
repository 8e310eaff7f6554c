"""What is around a command may fail: its streams, or whoever started it. It says so and leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Done, refused

if sys.platform == "win32":
    pytest.skip("needs a POSIX shell", allow_module_level=True)


def through_shell(line: str, *arguments: object, **variables: str) -> Done:
    """Run a line of bash, in which `$lqtui` is the command and `$1`, `$2` … are the arguments."""
    script = f'lqtui() {{ "{sys.executable}" -m lqtui "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "", **variables},
    )


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("plan $1 --preset ffn_q8", ""),
        ("plan $1 --preset ffn_q8", "1"),
        ("plan $1 --preset ffn_q8 --json", ""),
        ("--help", ""),
    ],
)
def test_an_output_without_room_is_told_in_a_sentence(
    command: str, unbuffered: str, demo_model: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = through_shell(f"lqtui {command} > /dev/full", demo_model, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "lqtui: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", ["plan $1 --preset ffn_q8", "--version", "--help"])
def test_a_reader_that_is_gone_ends_a_command_without_a_word(command: str, demo_model: Path) -> None:
    done = through_shell(f"lqtui {command} | true; exit ${{PIPESTATUS[0]}}", demo_model)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["2>/dev/full", "<&- >&- 2>&-"])
def test_a_measurement_needs_no_standard_streams(
    closed: str, tiny_model: Path, tiny_corpus: Path, home: Path
) -> None:
    command = 'measure "$1" --preset ffn_q8 --corpus "$2" --ctx 64 --chunks 2 --threads 1 --json'
    done = through_shell(f"lqtui {command} {closed}", tiny_model, tiny_corpus)
    assert done.returncode == 0, done.stderr
    again = through_shell(f"lqtui {command}", tiny_model, tiny_corpus)
    assert again.returncode == 0 and "scoring" not in again.stderr  # it was kept


@pytest.mark.parametrize(
    ("number", "ignoring"),
    [(signal.SIGTERM, ""), (signal.SIGHUP, ""), (signal.SIGTERM, "trap '' INT;")],
)
def test_what_ends_a_process_stops_a_command_as_ctrl_c_does(
    number: signal.Signals, ignoring: str, tiny_model: Path, tiny_corpus: Path
) -> None:
    measure = ["measure", tiny_model, "--all-presets", "--corpus", tiny_corpus, "--chunks", "40"]
    script = f'{ignoring} exec "{sys.executable}" -m lqtui "$@"'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *map(str, measure), "--ctx", "512", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "scoring" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert (out, error) == ("", "lqtui: stopped; what was measured so far is kept\n")


def test_a_terminal_that_hangs_up_does_not_stop_what_nohup_keeps(tiny_model: Path, tiny_corpus: Path) -> None:
    done = through_shell(
        'trap "" HUP; lqtui measure "$1" --preset ffn_q8 --corpus "$2" --ctx 512 --chunks 4 --threads 1 & '
        "sleep 0.7; kill -HUP $!; wait $!",
        tiny_model,
        tiny_corpus,
    )
    assert done.returncode == 0, done.stderr


_NOBODY = """
import os, pwd, sys
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
os.environ.pop("LQTUI_HOME", None)
for name in [name for name in os.environ if name.startswith("XDG_")]:
    del os.environ[name]
from lqtui.cli import main
sys.argv = ["lqtui", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    "command", [["cache"], ["doctor"], ["settings"], ["plan", "{}", "--preset", "ffn_q8"]]
)
def test_an_account_without_a_home_is_told_how_to_give_lqtui_one(
    command: list[str], tiny_model: Path
) -> None:
    arguments = [part.format(tiny_model) for part in command]
    done = subprocess.run([sys.executable, "-c", _NOBODY, *arguments], capture_output=True, text=True)
    refused(done, "This account has no home folder; set LQTUI_HOME to a folder", 1)
