"""What each task finishes with, and the sentences of those that cannot be done."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from local_hub import LocalHub

from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import resolve
from lqtui.recipe.shape import ModelShape
from lqtui.store.paths import Paths
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.messages import (
    ChunkScored,
    CorpusRead,
    Describe,
    FetchWikitext,
    Fingerprint,
    Progress,
    ReadHeader,
    RecipeTypes,
    SpeedMeasured,
    UntilClear,
)
from tests.worker.child_runs import (
    Run,
    is_gone,
    measure_task,
    partials,
    write_task,
)

# What each task finishes with


async def test_a_header_is_read_to_the_shape_that_the_engine_itself_reads(
    run: Run, tiny_model: Path, tiny_shape: ModelShape
) -> None:
    assert repr((await run(ReadHeader(tiny_model))).shape) == repr(tiny_shape)


async def test_a_fingerprint_is_the_files_sha256(run: Run, tiny_model: Path) -> None:
    digest = (await run(Fingerprint(tiny_model))).digest
    told = subprocess.run(["sha256sum", tiny_model], capture_output=True, text=True, check=True)
    assert digest == told.stdout.split()[0]


async def test_a_measurement_tells_each_chunk_and_each_speed(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path, paths: Paths
) -> None:
    plan = resolve(tiny_shape, preset("uniform_q4_0", tiny_shape))
    recipes = [RecipeTypes(plan.encodings, perplexity=True, speed=True)]
    await run(measure_task(tiny_model, tiny_shape, tiny_corpus, paths, recipes=recipes))
    chunks = run.of(ChunkScored)
    assert [chunk.chunk for chunk in chunks] == [0, 1, 2]
    assert all(len(np.frombuffer(chunk.nll)) == 128 - 1 - 64 for chunk in chunks)
    assert [corpus.chunks for corpus in run.of(CorpusRead)] == [3]
    assert [(s.n_prompt, s.n_gen, len(s.tokens_per_second)) for s in run.of(SpeedMeasured)] == [
        (16, 0, 2),
        (0, 4, 2),
    ]
    assert not partials(paths.pool)


async def test_a_measurement_goes_on_after_the_chunks_that_are_known(
    tmp_path: Path, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path, paths: Paths
) -> None:
    whole, rest = Run(tmp_path / "whole.log"), Run(tmp_path / "rest.log")
    task = measure_task(tiny_model, tiny_shape, tiny_corpus, paths, "uniform_q4_0")
    await whole(task)
    later = msgspec.structs.replace(task.recipes[0], chunks_known=2)
    await rest(measure_task(tiny_model, tiny_shape, tiny_corpus, paths, recipes=[later]))
    assert [(c.chunk, c.nll) for c in rest.of(ChunkScored)] == [(2, whole.of(ChunkScored)[2].nll)]


async def test_progress_counts_the_chunks_of_all_recipes_and_weighs_the_work_that_each_takes(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path, paths: Paths
) -> None:
    task = measure_task(tiny_model, tiny_shape, tiny_corpus, paths, "uniform_q4_0", "last_4_layers_q8")
    half = msgspec.structs.replace(task.recipes[1], chunks_known=2)
    await run(msgspec.structs.replace(task, recipes=[task.recipes[0], half]))
    told = [(event.done, event.total) for event in run.of(Progress) if event.stage == "scoring"]
    assert told == sorted(told) and set(told) == {(done, 4) for done in range(5)}
    shares = [event.share for event in run.of(Progress) if event.share is not None]
    # Two chunks of the base and one recipe, then one of the base and two recipes: 7 evaluations.
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and 2 / 7 in shares


@pytest.mark.parametrize("memory", [1, 1 << 30], ids=["in rounds", "all at once"])
async def test_until_a_verdict_the_total_is_what_it_will_probably_take_once_that_can_be_told(
    memory: int, run: Run, demo_model: Path, demo_shape: ModelShape, english: Path, paths: Paths
) -> None:
    asked = UntilClear(0.95, (0, 1), ([], []))
    task = measure_task(demo_model, demo_shape, english, paths, "uniform_q4_0", "attention_q8", memory=memory)
    await run(msgspec.structs.replace(task, chunks=30, until_clear=asked))
    told = [(event.done, event.total) for event in run.of(Progress) if event.stage == "scoring"]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[0] == (0, 0) and told[-1] == (len(run.of(ChunkScored)),) * 2
    known = [(done, total) for done, total in told if total]
    assert len(known) > 2 and all(done < total < 30 for done, total in known[:-1])


async def test_a_model_is_written_with_the_size_that_was_planned(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tmp_path: Path, paths: Paths
) -> None:
    out = tmp_path / "out.gguf"
    done = await run(write_task(tiny_model, tiny_shape, out, paths))
    plan = resolve(tiny_shape, preset("uniform_q4_0", tiny_shape))
    assert done.bytes == out.stat().st_size == plan.file_bytes
    assert not partials(tmp_path)


async def test_wikitext_is_fetched_with_its_progress(run: Run, hub: LocalHub, paths: Paths) -> None:
    hub.add_wikitext("text " * 1000)
    out = paths.cache / "corpora" / "wikitext.txt"
    done = await run(FetchWikitext(out))
    assert out.read_text() == "text " * 1000
    assert done.digest == hashlib.sha256(out.read_bytes()).hexdigest()
    assert {event.stage for event in run.of(Progress)} == {"fetching"}
    assert run.of(Progress)[-1].done == run.of(Progress)[-1].total
    assert [path.name for path in out.parent.iterdir()] == ["wikitext.txt"]


async def test_a_fetch_that_is_stopped_keeps_what_came_in_the_hubs_cache_alone(
    run: Run, hub: LocalHub, hub_home: Path, paths: Paths
) -> None:
    text = " ".join(str(number) for number in range(200_000))
    archive = hub.add_wikitext(text, hold=threading.Event())
    run.until = lambda event: isinstance(event, Progress) and event.unit == "KiB" and event.done > 0
    fetching = asyncio.create_task(run(FetchWikitext(paths.cache / "corpora" / "wikitext.txt")))
    await asyncio.wait_for(run.reached.wait(), 30)
    assert list(hub_home.rglob("*.incomplete"))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert is_gone(run.pid)
    [partial] = hub_home.rglob("*.incomplete")
    assert partial.stat().st_size < len(archive.content)
    assert not (paths.cache / "corpora").exists()


async def test_the_engine_describes_itself(run: Run) -> None:
    engine = (await run(Describe())).engine
    assert engine is not None and "CPU" in engine.system_info


# What cannot be done is one sentence


async def test_a_refusal_of_the_engine_is_a_sentence_that_names_the_file(run: Run, tmp_path: Path) -> None:
    zeros = tmp_path / "zeros.gguf"
    zeros.write_bytes(bytes(1 << 16))
    with pytest.raises(JobFailed, match=r"zeros\.gguf is not a GGUF file"):
        await run(ReadHeader(zeros))


async def test_a_hub_that_does_not_have_it_is_a_sentence(run: Run, hub: LocalHub, paths: Paths) -> None:
    with pytest.raises(JobFailed, match=r"has no wikitext-2-raw-v1\.zip in ggml-org/ci \(404\)"):
        await run(FetchWikitext(paths.cache / "wikitext.txt"))


async def test_a_file_name_that_is_not_unicode_is_refused(run: Run) -> None:
    with pytest.raises(JobFailed, match="not valid Unicode"):
        await run(ReadHeader(Path(os.fsdecode(b"/tmp/\xff.gguf"))))


async def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(JobFailed, match=r"log .* cannot be written"):
        await run_task(ReadHeader(tiny_model), tmp_path / "no" / "job.log")
