"""Files appear whole or not at all, and only where there is room for them."""

import errno
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lqtui.store import files
from lqtui.store.errors import StoreError
from lqtui.store.files import SPACE_MARGIN, atomic_write, format_size, require_space
from lqtui.store.state_file import read_state


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "recipe.toml"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_write(target) as temporary:
        temporary.write_text("new, but not whole")
        raise RuntimeError("half-way")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


_KILLED = """
import os, signal, sys
from pathlib import Path
from lqtui.store.files import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


def _writer(path: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(path), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_left_half_written_goes_with_the_next_file_in_its_folder(
    tmp_path: Path,
) -> None:
    assert _writer(tmp_path / "model.gguf", "die").wait() < 0
    assert len(list(tmp_path.glob(".model.gguf.*.part"))) == 1
    with atomic_write(tmp_path / "other.gguf") as temporary:
        temporary.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other.gguf"]


def test_half_of_what_a_killed_process_remembered_goes_when_that_is_read(tmp_path: Path) -> None:
    assert _writer(tmp_path / "paces.json", "die").wait() < 0
    assert read_state(tmp_path / "paces.json", 1, dict) == (None, "")
    assert not list(tmp_path.iterdir())


def test_what_another_process_is_writing_stays_and_so_does_what_is_not_of_lqtui(tmp_path: Path) -> None:
    foreign = tmp_path / ".notes.part"
    foreign.touch()
    other = _writer(tmp_path / "model.gguf", "wait")
    assert other.stdout is not None and other.stdout.readline() == "writing\n"
    with atomic_write(tmp_path / "model.gguf") as temporary:
        temporary.write_bytes(b"mine")
    other.communicate("")
    assert other.returncode == 0 and (tmp_path / "model.gguf").read_bytes() == b"half"
    assert {path.name for path in tmp_path.iterdir()} == {"model.gguf", foreign.name}


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"became full while .*out\.gguf was written"),
        atomic_write(tmp_path / "out.gguf"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_writer_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.gguf"):
        (tmp_path / "source").read_bytes()


def test_a_missing_folder_and_a_folder_as_target_are_sentences(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"the folder .*nowhere does not exist"),
        atomic_write(tmp_path / "nowhere" / "x"),
    ):
        pass
    with pytest.raises(StoreError, match=r"is a folder; give the name of a file"), atomic_write(tmp_path):
        pass


def test_the_file_gets_the_persons_usual_permissions(tmp_path: Path) -> None:
    usual, written = tmp_path / "usual", tmp_path / "written"
    usual.touch()
    with atomic_write(written):
        pass
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_a_writer_may_make_its_file_executable(tmp_path: Path) -> None:
    script = tmp_path / "quantize.sh"
    with atomic_write(script) as temporary:
        temporary.write_text("#!/usr/bin/env bash\n")
        temporary.chmod(0o755)
    assert os.access(script, os.X_OK)


def test_long_names_fit(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250)
    with atomic_write(target) as temporary:
        temporary.write_text("fits")
    assert target.read_text() == "fits"


def test_room_is_checked_with_a_margin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = 1024**3
    monkeypatch.setattr(files, "free_space", lambda _: free)
    require_space(tmp_path, free - SPACE_MARGIN)
    with pytest.raises(
        StoreError,
        match=r"out\.gguf needs 896\.0 MiB and 128\.0 MiB to spare, but only 1\.0 GiB are free on /",
    ):
        require_space(tmp_path / "not" / "there" / "out.gguf", free - SPACE_MARGIN + 1)


def test_a_real_disk_refuses_an_exabyte(tmp_path: Path) -> None:
    require_space(tmp_path, 0)
    with pytest.raises(StoreError, match=r"needs 1048576\.0 TiB"):
        require_space(tmp_path, 1024**6)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (98_800_000, "94.2 MiB"),
        (5 * 1024**4, "5.0 TiB"),
    ],
)
def test_sizes_are_binary(size: int, text: str) -> None:
    assert format_size(size) == text
