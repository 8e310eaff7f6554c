"""Where lqtui keeps its files."""

import os
import sys
from pathlib import Path

import pytest

from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths, make_directory


def test_lqtui_home_moves_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LQTUI_HOME", str(tmp_path))
    paths = Paths.from_environment()
    assert paths == Paths(*(tmp_path / name for name in ("cache", "data", "state", "logs", "config")))
    assert paths.pool == tmp_path / "cache" / "pool"
    assert paths.results_db == tmp_path / "data" / "results.sqlite3"
    assert paths.settings_file == tmp_path / "config" / "settings.toml"


def test_without_lqtui_home_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LQTUI_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    paths = Paths.from_environment()
    for folder in (paths.cache, paths.data, paths.state, paths.logs, paths.config):
        assert folder.is_relative_to(tmp_path)
        assert "lqtui" in folder.parts


@pytest.mark.parametrize(("home", "expected"), [("~/lq", "~/lq"), ("lq", "./lq"), ("./a/../lq", "./lq")])
def test_a_home_may_be_written_as_a_person_writes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LQTUI_HOME", home)
    folder = expected.replace("~", str(tmp_path / "person")).replace("./", f"{tmp_path}/")
    assert Paths.from_environment().logs == Path(folder) / "logs"


def test_asking_for_paths_makes_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LQTUI_HOME", str(tmp_path / "home"))
    paths = Paths.from_environment()
    assert paths.pool and paths.results_db
    assert list(tmp_path.iterdir()) == []
    assert make_directory(paths.pool).is_dir()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(StoreError, match=r"home/data cannot be a folder, because a file has its name"):
        make_directory(tmp_path / "home" / "data")


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a folder that nobody can write, root included"
)
def test_a_folder_that_cannot_be_made_says_what_to_do() -> None:
    with pytest.raises(StoreError, match=r"/proc/lqtui cannot be made: .*LQTUI_HOME"):
        make_directory(Path("/proc/lqtui"))


@pytest.mark.skipif(sys.platform != "linux", reason="tells by /proc what is flushed")
def test_a_folder_that_was_made_outlives_a_power_cut_with_those_above_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    make_directory(tmp_path / "home" / "data")
    assert set(flushed) == {tmp_path, tmp_path / "home"}
    make_directory(tmp_path / "home" / "data")
    assert len(flushed) == 2
