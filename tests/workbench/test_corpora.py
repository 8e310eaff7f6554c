"""The text that is measured on where the person has chosen none: WikiText-2, or else what Python brings."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_files import tiny_text
from local_hub import LocalHub

from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, corpora
from lqtui.workbench.corpora import corpus_digest
from lqtui.workbench.demo import demo_model
from tests.workbench.bench_jobs import QUICK, done, measure, planned, until

TEXT = tiny_text(4000, seed=3)


@pytest.fixture
def settings() -> Settings:
    return Settings(**QUICK)


@pytest.fixture
async def opened(bench: Workbench, tiny_model: Path) -> Workbench:
    """A session with a model that is not the demo, which never asks for WikiText-2."""
    await bench.open(tiny_model)
    return bench


@pytest.fixture
async def later(paths: Paths, settings: Settings, tiny_model: Path) -> AsyncIterator[Workbench]:
    """A second session, opened when the test says so."""
    bench = Workbench(paths, settings)
    yield bench
    await bench.close()


def wikitext(paths: Paths) -> Path:
    return paths.cache / "corpora" / "wikitext-2-raw-test.txt"


def digests(paths: Paths) -> set[str]:
    """What the kept measurements were measured on."""
    with contextlib.closing(sqlite3.connect(paths.results_db)) as connection:
        return {digest for (digest,) in connection.execute("SELECT corpus_digest FROM chunks")}


def names(bench: Workbench) -> set[str]:
    return {result.name for result in bench.results}


# WikiText-2


async def test_the_first_measurement_fetches_wikitext_and_later_ones_do_not(
    opened: Workbench,
    later: Workbench,
    hub: LocalHub,
    paths: Paths,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(corpora, "WIKITEXT_2_SHA256", hashlib.sha256(TEXT.encode()).hexdigest())
    hub.add_wikitext(TEXT)
    assert opened.corpus_name == "python-topics"
    job = await done(opened, measure(opened, "uniform_q4_0"))
    assert opened.corpus_name == "wikitext-2" and not job.notice
    assert wikitext(paths).read_text() == TEXT
    assert digests(paths) == {corpus_digest(wikitext(paths))}
    assert " on wikitext-2, 3 chunks of 128" in opened.script_for(planned(opened, "uniform_q4_0"))
    asked = list(hub.requests)
    await done(opened, measure(opened, "ffn_q8"))
    await later.open(tiny_model)
    assert later.corpus_name == "wikitext-2" and names(later) == {"base", "uniform_q4_0", "ffn_q8"}
    await done(later, measure(later, "attention_q8"))
    assert hub.requests == asked


async def test_a_wikitext_of_another_digest_is_told_as_that(opened: Workbench, hub: LocalHub) -> None:
    hub.add_wikitext(TEXT)
    job = await done(opened, measure(opened, "uniform_q4_0"))
    assert "is not the text that others measure on" in job.notice
    assert hashlib.sha256(TEXT.encode()).hexdigest()[:12] in job.notice


async def test_the_fetch_is_a_stage_of_the_job(opened: Workbench, hub: LocalHub) -> None:
    file = hub.add_wikitext(TEXT, hold=threading.Event())
    stages: list[str] = []
    opened.subscribe(lambda _: stages.append(opened.jobs[-1].stage))
    job = measure(opened, "uniform_q4_0")
    await until(lambda: bool(hub.asked("/storage")))
    assert opened.jobs[-1].stage == "fetching"
    assert file.hold is not None
    file.hold.set()
    await done(opened, job)
    assert stages.index("fetching") < stages.index("quantizing")


async def test_results_on_another_text_are_not_shown_as_wikitexts(
    opened: Workbench, later: Workbench, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    hub.add_wikitext(TEXT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    await done(opened, measure(opened, "uniform_q4_0"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    await later.open(tiny_model)
    assert later.corpus_name == "python-topics" and later.results == opened.results != ()
    await done(later, measure(later, "ffn_q8"))
    assert later.corpus_name == "wikitext-2" and names(later) == {"base", "ffn_q8"}


async def test_the_base_is_measured_on_wikitext_too_where_it_is_known_on_another_text(
    opened: Workbench, later: Workbench, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    hub.add_wikitext(TEXT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    await done(opened, measure(opened, "baseline_fp16"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    await later.open(tiny_model)
    later.use(planned(later, "uniform_q4_0").recipe, "preset")
    later.measure()
    for job in later.jobs:
        await done(later, job)
    row = later.result(planned(later, "uniform_q4_0"))
    assert row is not None and row.delta_percent is not None


# Without it


async def test_without_a_connection_pythons_text_is_measured_on_and_the_person_is_told_once(
    opened: Workbench, hub: LocalHub, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    job = await done(opened, measure(opened, "uniform_q4_0"))
    assert job.notice == (
        "WikiText-2 could not be fetched, so Python's own help texts are measured on: "
        "127.0.0.1:9 cannot be reached: Connection refused"
    )
    assert opened.log_tail(job.id).startswith(job.notice)
    assert opened.corpus_name == "python-topics"
    assert " on python-topics, 3 chunks" in opened.script_for(planned(opened, "uniform_q4_0"))
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.add_wikitext(TEXT)
    again = await done(opened, measure(opened, "ffn_q8"))
    assert not again.notice and hub.requests == []
    assert names(opened) == {"base", "uniform_q4_0", "ffn_q8"}
    [topics] = (paths.cache / "corpora").iterdir()
    assert digests(paths) == {corpus_digest(topics)}


async def test_offline_mode_is_a_reason_that_is_told(opened: Workbench) -> None:
    job = await done(opened, measure(opened, "uniform_q4_0"))
    assert "HF_HUB_OFFLINE is set" in job.notice and opened.corpus_name == "python-topics"


async def test_a_hub_that_is_silent_is_not_waited_for(
    opened: Workbench, hub: LocalHub, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lqtui.workbench.corpora._SILENCE_SECONDS", 1)
    hub.add_wikitext(TEXT, hold=threading.Event())
    job = await done(opened, measure(opened, "uniform_q4_0"))
    assert job.notice.endswith("the Hugging Face Hub sent nothing for 1 seconds")
    assert [path.name[:13] for path in (paths.cache / "corpora").iterdir()] == ["python-topics"]


async def test_a_fetch_that_is_cancelled_is_gone_on_with_by_the_next_job(
    opened: Workbench, hub: LocalHub, hub_home: Path, paths: Paths
) -> None:
    file = hub.add_wikitext(TEXT, hold=threading.Event())
    job = measure(opened, "uniform_q4_0")
    await until(lambda: opened.jobs[-1].stage == "fetching" and bool(hub.asked("/storage")))
    opened.cancel(job.id)
    assert (await opened.wait(job)).state is JobState.CANCELLED
    [partial] = hub_home.rglob("*.incomplete")
    assert partial.stat().st_size < len(file.content) and not wikitext(paths).exists()
    file.hold = None
    await done(opened, measure(opened, "uniform_q4_0"))
    assert opened.corpus_name == "wikitext-2"


# Other texts than the default


async def test_the_demo_model_stays_on_pythons_text(bench: Workbench, hub: LocalHub, paths: Paths) -> None:
    hub.add_wikitext(TEXT)
    wikitext(paths).parent.mkdir(parents=True)
    wikitext(paths).write_text(TEXT)
    await bench.open(demo_model())
    assert bench.corpus_name == "python-topics"
    bench.configure(replace(bench.settings, chunks=2, n_ctx=64))
    await done(bench, measure(bench, "baseline_fp16"))
    assert bench.corpus_name == "python-topics" and hub.requests == []


async def test_a_chosen_text_is_called_by_its_file_and_nothing_is_fetched(
    opened: Workbench, hub: LocalHub, tiny_corpus: Path
) -> None:
    hub.add_wikitext(TEXT)
    opened.configure(replace(opened.settings, corpus=tiny_corpus))
    await done(opened, measure(opened, "uniform_q4_0"))
    assert opened.corpus_name == "tiny" and hub.requests == []


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_halves_are_cut_anew_where_they_are_not_the_whole_text_any_more(
    ends: str, paths: Paths, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes((f"some words of a line{ends}" * 500).encode())
    corpus = corpora.Corpus("text", text)
    parts = corpora.halves(corpus, paths)
    cut = [part.path.read_bytes() for part in parts]
    assert b"".join(cut) == text.read_bytes()
    assert corpora.kept_halves(corpus, paths) == parts
    for damaged in (cut[1][:-1], b"X" + cut[1][1:], b""):
        parts[1].path.write_bytes(damaged)
        assert corpora.kept_halves(corpus, paths) is None
        assert [part.path.read_bytes() for part in corpora.halves(corpus, paths)] == cut


def test_pythons_own_texts_are_written_anew_where_they_are_damaged(paths: Paths) -> None:
    at_hand = corpora.Corpora(paths).at_hand(None, None).path
    text = at_hand.read_bytes()
    at_hand.write_bytes(text[:1000])
    assert corpora.Corpora(paths).at_hand(None, None).path.read_bytes() == text
