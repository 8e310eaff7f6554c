"""Sessions: a model is gone on from where it was left, and what cannot be read is told of once and kept."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lqtui.recipe.types import TensorType
from lqtui.store.errors import StoreError
from lqtui.store.paths import Paths
from lqtui.store.state_file import ASIDE, read_state
from lqtui.workbench import Settings, Workbench
from lqtui.workbench.remembering import settings_left
from lqtui.workbench.session import AppSession, Left, Look, ModelSession, Sessions, View


@asynccontextmanager
async def session(paths: Paths, model: Path, *, fresh: bool = False) -> AsyncIterator[Workbench]:
    """A workbench that goes on from where the one before left a model."""
    sessions = Sessions(paths, fresh=fresh)
    bench = Workbench(paths, sessions.last().settings)
    bench.sessions = sessions
    try:
        await bench.open(model, fingerprint=False)
        yield bench
    finally:
        await bench.close()


def file_of(paths: Paths, model: Path) -> Path:
    (found,) = (paths.state / "sessions").glob(f"{model.stem}-????????????.json")
    return found


async def test_recipes_slots_settings_view_and_looks_are_there_again(paths: Paths, tiny_model: Path) -> None:
    view, look = View(row=3, column=2, scope="tensor", pane="jobs"), Look(theme="nord", metric="PPL")
    async with session(paths, tiny_model) as bench:
        bench.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
        bench.rename("mine")
        bench.new_slot()
        bench.assign(["blk.2.ffn_up.weight"], TensorType.Q8_0, "two")
        bench.configure(replace(bench.settings, chunks=7, n_ctx=64))
        bench.remember(view, look)
        slots = bench.slots
    async with session(paths, tiny_model) as bench:
        assert [(s.name, s.modified, s.plan.digest) for s in bench.slots] == [
            (s.name, s.modified, s.plan.digest) for s in slots
        ]
        assert [s.modified for s in bench.slots] == [False, True] and bench.active_slot == 1
        assert (bench.settings.chunks, bench.settings.n_ctx) == (7, 64)
        assert (bench.take_left_view(), bench.take_left_view()) == (view, None)
        assert bench.sessions is not None and bench.sessions.last().look == look
        assert bench.sessions.last().model == tiny_model and bench.take_notices() == []


async def test_each_model_has_a_session_of_its_own(paths: Paths, tiny_model: Path, demo_model: Path) -> None:
    async with session(paths, tiny_model) as bench:
        bench.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
        digest = bench.plan.digest
        await bench.open(demo_model, fingerprint=False)
        assert bench.plan.unchanged
        await bench.open(tiny_model, fingerprint=False)
        assert bench.plan.digest == digest


async def test_a_fresh_start_begins_anew_with_the_first_model(paths: Paths, tiny_model: Path) -> None:
    async with session(paths, tiny_model) as bench:
        bench.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
        bench.configure(replace(bench.settings, chunks=7))
    async with session(paths, tiny_model, fresh=True) as bench:
        assert bench.plan.unchanged and bench.settings == Settings() and len(bench.slots) == 1


async def test_a_second_one_on_the_same_model_says_so_and_keeps_a_session_of_its_own(
    paths: Paths, tiny_model: Path
) -> None:
    async with AsyncExitStack() as both:
        first = await both.enter_async_context(session(paths, tiny_model))
        second = await both.enter_async_context(session(paths, tiny_model))
        first.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
        second.assign(["blk.2.attn_q.weight"], TensorType.Q8_0, "two")
        digests = [first.plan.digest, second.plan.digest]
        assert first.take_notices() == []
        (notice,) = second.take_notices()
        assert notice == "tiny.gguf is open in another lqtui; this one remembers a session of its own."
    async with AsyncExitStack() as both:
        again = [await both.enter_async_context(session(paths, tiny_model)) for _ in range(2)]
        assert [bench.plan.digest for bench in again] == digests


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ('{"version": 99, "model": 3}', "was written by a newer lqtui (format 99; this one knows 1)"),
        ('{"version": 0}', "was written by an older lqtui (format 0; this one knows 1)"),
        ("{", "is damaged"),
        ('{"version": 1, "model": 3}', "is damaged"),
    ],
)
def test_what_cannot_be_read_is_told_of_once_and_set_aside(
    paths: Paths, tmp_path: Path, document: str, why: str
) -> None:
    model = tmp_path / "some.gguf"
    writer = Sessions(paths)
    assert writer.take(model) is None
    writer.save(Left(ModelSession(model), AppSession(model)))
    writer.close()
    files = [file_of(paths, model), paths.state / "sessions" / "app.json"]
    for file in files:
        file.write_text(document)
    reader = Sessions(paths)
    assert reader.take(model) is None and reader.last() == AppSession()
    assert reader.notices == [
        f"{file} {why}; it is set aside as {file.name}{ASIDE}, and lqtui begins anew." for file in files
    ]
    assert [file.with_name(file.name + ASIDE).read_text() for file in files] == [document] * 2
    reader.close()
    again = Sessions(paths)
    assert again.take(model) is None and again.last() == AppSession() and again.notices == []


async def test_recipes_that_fit_the_model_no_more_are_told_of(paths: Paths, tiny_model: Path) -> None:
    async with session(paths, tiny_model) as bench:
        bench.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
    file = file_of(paths, tiny_model)
    file.write_text(file.read_text().replace("blk.1.attn_k", "blk.1.attn_none"))
    async with session(paths, tiny_model) as bench:
        (notice,) = bench.take_notices()
        assert notice.startswith("The recipes that were left of tiny.gguf fit no more: ")
        assert bench.plan.unchanged


async def test_a_folder_that_cannot_be_written_to_costs_the_memory_and_nothing_else(
    paths: Paths, tiny_model: Path
) -> None:
    paths.state.parent.mkdir(parents=True, exist_ok=True)
    paths.state.write_text("not a folder")
    async with session(paths, tiny_model) as bench:
        bench.assign(["blk.1.attn_q.weight"], TensorType.Q4_0, "one")
        bench.remember(View(), Look())
        assert any("cannot be a folder" in notice for notice in bench.take_notices())
        assert not bench.plan.unchanged


def test_what_is_remembered_late_of_a_model_never_becomes_the_next_one_s(
    paths: Paths, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    sessions = Sessions(paths)
    sessions.take(first)
    left = Left(ModelSession(first), AppSession(first))
    sessions.save(left)
    sessions.take(second)
    sessions.save(left)  # as a thread may that was asked to before
    assert [file.stem[:5] for file in (paths.state / "sessions").glob("*.json") if file.stem != "app"] == [
        "first"
    ]
    sessions.close()


def test_a_name_that_is_no_unicode_is_refused_in_a_sentence(paths: Paths, tmp_path: Path) -> None:
    text = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    left = Left(ModelSession(tmp_path), AppSession(tmp_path, settings=Settings(corpus=text)))
    with pytest.raises(StoreError, match="a file name in it is not valid Unicode"):
        Sessions(paths).save(left)


def test_what_is_given_now_wins_over_what_was_left_and_a_text_that_is_gone_is_told_of(tmp_path: Path) -> None:
    left = Settings(corpus=tmp_path / "gone.txt", chunks=7, threads=2)
    kept, said = settings_left(left, Settings(chunks=3, threads=9), ["chunks"])
    assert (kept.chunks, kept.threads, kept.corpus) == (3, 2, None)
    assert said == f"The text {tmp_path / 'gone.txt'} is gone; another is measured on."
    (tmp_path / "gone.txt").write_text("here")
    assert settings_left(left, Settings(), []) == (left, "")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(("version", "slots", "model", "look", "x")), st.integers(0, 2)).map(
        lambda found: json.dumps(found).encode()
    )
)
def test_no_bytes_whatever_in_a_file_are_more_than_a_sentence(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "state.json"
    for kind in (AppSession, ModelSession):
        path.write_bytes(raw)
        found = read_state(path, 1, kind)
        assert (found.state is None) == bool(found.problem) and path.exists() == (not found.problem)
