"""Texts and models that are gone, or change while the workbench is open."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from gguf_files import tiny_text, write_tiny_llama

from lqtui.store.paths import Paths
from lqtui.workbench import JobState, Settings, Workbench, WorkbenchError
from tests.workbench.bench_jobs import done, measure


async def test_a_corpus_that_cannot_be_read_is_refused_and_the_old_one_stays(
    opened: Workbench, settings: Settings, tmp_path: Path
) -> None:
    for corpus in (tmp_path / "none.txt", tmp_path, Path("/dev/zero")):
        with pytest.raises(WorkbenchError, match="corpus"):
            opened.configure(replace(settings, corpus=corpus))
    assert opened.settings == settings


async def test_a_model_opens_even_while_its_corpus_is_gone_and_measuring_says_so(
    paths: Paths, settings: Settings, demo_model: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time its fingerprint is known
        bench = Workbench(paths, replace(settings, corpus=tmp_path / "gone.txt"))
        await bench.open(demo_model)
        job = await bench.wait(measure(bench, "ffn_q8"))
        assert job.state is JobState.FAILED and "gone.txt cannot be read" in job.message
        await bench.close()


async def test_a_corpus_that_changes_between_jobs_has_results_of_its_own(
    opened: Workbench, settings: Settings, tmp_path: Path
) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text(tiny_text(1000, seed=5))
    opened.configure(replace(settings, corpus=corpus))
    await done(opened, measure(opened, "ffn_q8"))
    old = opened.results[0].perplexity
    corpus.write_text(tiny_text(1000, seed=6))
    await done(opened, measure(opened, "ffn_q8"))
    assert opened.results[0].perplexity != old


async def test_a_model_file_replaced_between_jobs_is_noticed(
    bench: Workbench, tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(tiny_model, tmp_path / "model.gguf"))
    await bench.open(model)
    await done(bench, measure(bench, "ffn_q8"))
    old = bench.results[0].perplexity
    write_tiny_llama(tmp_path / "new.gguf", seed=7).replace(model)
    for job in (measure(bench, "uniform_q4_0"), bench.quantize(tmp_path / "out.gguf")):
        ended = await bench.wait(job)
        assert ended.state is JobState.FAILED and "has changed since it was opened" in ended.message
    await bench.open(model)
    assert bench.results == ()
    await done(bench, measure(bench, "ffn_q8"))
    assert bench.results[0].perplexity != old
    model.unlink()
    ended = await bench.wait(measure(bench, "uniform_q4_0"))
    assert ended.state is JobState.FAILED and "is gone" in ended.message and not ended.crashed


async def test_each_part_of_a_split_model_counts(bench: Workbench, tmp_path: Path) -> None:
    first = write_tiny_llama(tmp_path / "model.gguf", tensors_per_part=10)
    second = next(part for part in sorted(tmp_path.glob("model-*.gguf")) if part != first)
    await bench.open(first)
    await done(bench, measure(bench, "ffn_q8"))
    with pytest.raises(WorkbenchError, match="is the base model itself"):
        bench.quantize(second)
    shutil.copy(second, tmp_path / "copy")
    (tmp_path / "copy").replace(second)
    job = await bench.wait(measure(bench, "uniform_q4_0"))
    assert "has changed since it was opened" in job.message
    await bench.open(first)
    assert [job.kind for job in bench.jobs].count("fingerprint") == 2
