"""What lqtui depends on is bounded, has its reason, and is locked for who develops it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_ROOT = Path(__file__).parent.parent
_TEXT = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
_PROJECT: dict[str, Any] = tomllib.loads(_TEXT)
_LOCK = (_ROOT / "tests" / "requirements-dev.lock").read_text(encoding="utf-8")
_DECLARED = [
    *_PROJECT["build-system"]["requires"],
    *_PROJECT["project"]["dependencies"],
    *(line for extra in _PROJECT["project"]["optional-dependencies"].values() for line in extra),
]


def locked() -> dict[str, tuple[Version, list[str]]]:
    """Each package of the lock: its version, and the SHA-256 of each of its files."""
    found = {}
    for block in re.split(r"\n(?=\S)", _LOCK):
        if pinned := re.match(r"([\w.-]+)==([^\s;]+)", block):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})(?!\w)", block)
            found[canonicalize_name(pinned[1])] = (Version(pinned[2]), hashes)
    return found


@pytest.mark.parametrize("declared", _DECLARED)
def test_a_dependency_has_a_lower_and_an_upper_bound_and_its_reason(declared: str) -> None:
    operators = {one.operator for one in Requirement(declared).specifier}
    assert operators == {">=", "<"}
    lines = [line for line in _TEXT.splitlines() if f'"{declared}"' in line]
    assert lines and all(re.search(r"# \S.+", line) for line in lines)


def test_the_lock_has_every_dependency_at_a_version_that_is_asked_for() -> None:
    there = locked()
    for declared in map(Requirement, _DECLARED):
        version, _ = there[canonicalize_name(declared.name)]
        assert version in declared.specifier, declared


def test_the_lock_has_nothing_but_versions_and_digests() -> None:
    """No address of a registry or a folder: pip asks the one that its person has chosen."""
    assert all(hashes for _, hashes in locked().values())
    line = re.compile(r"#.*|[a-z0-9][\w.-]*==[\w.]+(?: ; [^/:@]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?")
    assert [odd for odd in _LOCK.splitlines() if not line.fullmatch(odd)] == []
    assert not re.search(r"://|--(?:extra-)?index|--find-links|file:", _LOCK)
