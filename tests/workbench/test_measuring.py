"""What is measured, kept, and answered from the store."""

from __future__ import annotations

import math
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama

from lqtui.measure.divergence import divergence
from lqtui.measure.perplexity import paired_difference, perplexity
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.store.results import ChunkScores, ResultStore, ScoresKey
from lqtui.workbench import Settings, Workbench, WorkbenchError
from lqtui.workbench.corpora import corpus_digest
from tests.workbench.bench_jobs import done, measure, planned, row


def kept(paths: Paths, bench: Workbench, digest: str) -> list[ChunkScores]:
    """What the store has of a recipe on the settings' text."""
    model, corpus = bench.model, bench.settings.corpus
    assert model is not None and model.digest is not None and corpus is not None
    key = ScoresKey(model.digest, digest, corpus_digest(corpus), bench.settings.n_ctx, model.engine)
    with ResultStore(paths.results_db) as store:
        return store.get_chunks(key, 1000)


# Measuring


@pytest.mark.skipif(sys.platform != "linux", reason="tells by /proc what is flushed")
async def test_what_is_told_to_be_measured_outlives_a_power_cut(
    opened: Workbench, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[str, bytes] = {}
    really = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            flushed[path.name] = path.read_bytes()
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    await done(opened, measure(opened, "uniform_q4_0", speed=True))
    after = Paths.under(tmp_path / "after")
    after.data.mkdir(parents=True)
    shutil.copy(paths.results_db, after.results_db)
    log = f"{paths.results_db.name}-wal"
    (after.data / log).write_bytes(flushed[log])
    digest = row(opened, "uniform_q4_0").digest
    found, expected = (kept(place, opened, digest) for place in (after, paths))
    assert len(found) == opened.settings.chunks
    assert [chunk.nll.tobytes() for chunk in found] == [chunk.nll.tobytes() for chunk in expected]


async def test_a_measurement_gives_perplexity_divergence_and_speed(opened: Workbench, paths: Paths) -> None:
    await done(opened, measure(opened, "baseline_fp16", "uniform_q4_0", speed=True))
    base, result = row(opened, "baseline_fp16"), row(opened, "uniform_q4_0")
    assert result.prompt is not None and result.prompt.repetitions == 2 and result.generation is not None
    assert not result.partial and result.chunks == 3
    scores, base_scores = (kept(paths, opened, digest) for digest in (result.digest, base.digest))
    nll, base_nll = (np.stack([chunk.nll for chunk in found]) for found in (scores, base_scores))
    assert (result.perplexity, result.perplexity_se) == perplexity(nll)[:2]
    told = divergence(
        nll,
        base_nll,
        np.stack([chunk.kld for chunk in scores if chunk.kld is not None]).astype(np.float64),
        np.stack([chunk.same_top for chunk in scores if chunk.same_top is not None]),
    )
    assert (result.kld, result.kld_se) == told.kld
    assert (result.kld_median, result.kld_p99) == (told.kld_median, told.kld_99)
    assert (result.kld_p999, result.kld_max) == (told.kld_99_9, told.kld_max)
    assert (result.top1_agreement, result.top1_agreement_se) == told.same_top
    assert (result.rms_dp, result.rms_dp_se) == told.rms_dp
    delta = paired_difference(nll, base_nll)
    ratio = perplexity(nll).value / perplexity(base_nll).value
    assert (result.delta_nll, result.delta_nll_se) == delta
    assert result.delta_percent == pytest.approx(100 * (ratio - 1))
    assert result.delta_percent_se == pytest.approx(100 * ratio * delta.se)
    script = opened.script_for(planned(opened, "uniform_q4_0"))
    assert f"KL divergence from the base model {result.kld:.6f} +/- {result.kld_se:.6f} nats" in script
    nothing = (base.delta_nll, base.delta_percent, base.kld, base.kld_max, base.rms_dp)
    assert nothing == (0,) * 5 and base.top1_agreement == 1


async def test_a_result_brings_its_recipe_back_in_this_session_and_the_next(
    opened: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    await done(opened, measure(opened, "baseline_fp16", "first_4_layers_q8"))
    again = Workbench(paths, settings)
    await again.open(demo_model)
    for bench in (opened, again):
        assert len(bench.results) == 2
        for result in bench.results:
            bench.use(result.recipe, result.name)
            assert bench.plan is not None and bench.plan.digest == result.digest
            assert bench.plan.recipe.name == result.name
    await again.close()


async def test_the_base_is_scored_beside_what_is_compared_with_it_and_only_once(opened: Workbench) -> None:
    opened.use(planned(opened, "uniform_q4_0").recipe, "preset")
    await done(opened, opened.measure())
    assert [job.kind for job in opened.jobs] == ["fingerprint", "measure"]
    base, result = row(opened, "baseline_fp16"), row(opened, "uniform_q4_0")
    assert base.name == "base" and base.chunks == 3 and result.kld is not None
    again = await done(opened, opened.measure())
    assert not again.log.exists()


async def test_the_base_keeps_the_name_that_it_was_measured_under(
    opened: Workbench, settings: Settings, paths: Paths, demo_model: Path
) -> None:
    opened.configure(replace(settings, repetitions=1, n_gen=1))
    await done(opened, opened.measure())
    assert row(opened, "baseline_fp16").name == "base"
    await done(opened, measure(opened, "baseline_fp16", fresh=True))
    await done(opened, opened.measure())  # the base once more, as lqtui calls it
    assert row(opened, "baseline_fp16").name == "baseline_fp16"
    opened.use(planned(opened, "uniform_q4_0").recipe, "preset")
    await done(opened, opened.measure())
    assert {result.name for result in opened.results} == {"baseline_fp16", "uniform_q4_0"}
    later = Workbench(paths, opened.settings)
    await later.open(demo_model)
    await done(later, measure(later, "uniform_q4_0", fresh=True))
    assert {result.name for result in later.results} == {"baseline_fp16", "uniform_q4_0"}
    await later.close()


async def test_what_is_known_is_measured_again_where_that_is_asked_for(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, n_gen=1))
    await done(opened, opened.measure())
    known = row(opened, "baseline_fp16")
    again = await done(opened, opened.measure())
    assert not again.log.exists() and row(opened, "baseline_fp16") == known
    await done(opened, opened.measure(fresh=True))
    anew = row(opened, "baseline_fp16")
    assert anew.prompt != known.prompt and anew.generation != known.generation
    assert anew.perplexity == known.perplexity


async def test_all_presets_are_one_job_with_the_same_answers_as_each_alone(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, repetitions=1, n_gen=1))
    job = await done(opened, opened.measure_presets())
    assert job.title == "measure 11 presets" and job.message == "11 recipes measured"
    together = row(opened, "attention_q8")
    assert together.prompt is not None and all(not result.partial for result in opened.results)
    await done(opened, measure(opened, "attention_q8", fresh=True))
    alone = row(opened, "attention_q8")
    assert alone.perplexity == together.perplexity
    assert (alone.kld, alone.kld_max, alone.rms_dp) == (together.kld, together.kld_max, together.rms_dp)


async def test_without_divergence_the_base_is_not_measured_along(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, divergence=False))
    await done(opened, measure(opened, "uniform_q4_0"))
    (result,) = opened.results
    assert result.perplexity is not None and result.kld is None and result.delta_nll is None
    await done(opened, measure(opened, "baseline_fp16"))
    later = row(opened, "uniform_q4_0")
    assert later.delta_nll is not None and later.kld is None


async def test_a_perplexity_without_its_divergence_stays_and_is_measured_anew_where_that_is_asked_for(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, divergence=False))
    await done(opened, measure(opened, "uniform_q4_0"))
    alone = row(opened, "uniform_q4_0")
    opened.configure(settings)
    assert row(opened, "uniform_q4_0") == alone
    await done(opened, measure(opened, "uniform_q4_0"))
    beside = row(opened, "uniform_q4_0")
    assert beside.perplexity == alone.perplexity and beside.kld is not None and beside.chunks == 3
    opened.configure(replace(settings, divergence=False))
    again = await done(opened, measure(opened, "uniform_q4_0"))
    assert not again.log.exists()
    await done(opened, measure(opened, "uniform_q4_0", fresh=True))
    assert row(opened, "uniform_q4_0").kld == beside.kld


async def test_a_divergence_known_of_some_chunks_is_shown_of_these_and_then_goes_on(
    opened: Workbench, settings: Settings
) -> None:
    settings = replace(settings, chunks=5)
    opened.configure(replace(settings, divergence=False))
    await done(opened, measure(opened, "uniform_q4_0"))
    alone = row(opened, "uniform_q4_0")
    opened.configure(replace(settings, chunks=2))
    await done(opened, measure(opened, "uniform_q4_0"))
    some = row(opened, "uniform_q4_0")
    opened.configure(settings)
    assert row(opened, "uniform_q4_0") == replace(some, partial=True) and some.chunks == 2
    await done(opened, measure(opened, "uniform_q4_0"))
    whole = row(opened, "uniform_q4_0")
    assert (whole.chunks, whole.partial, whole.perplexity) == (5, False, alone.perplexity)
    assert some.kld is not None and whole.kld is not None


async def test_a_change_is_over_all_chunks_of_the_row_or_not_told(
    opened: Workbench, settings: Settings
) -> None:
    settings = replace(settings, divergence=False)
    opened.configure(settings)
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.configure(replace(settings, chunks=1))
    await done(opened, measure(opened, "baseline_fp16"))
    opened.configure(settings)
    result = row(opened, "uniform_q4_0")
    assert (result.chunks, row(opened, "baseline_fp16").chunks) == (3, 1)
    assert result.delta_percent is None and result.delta_nll is None


async def test_recipes_that_come_to_the_same_weights_are_measured_once(
    bench: Workbench, tiny_model: Path
) -> None:
    await bench.open(tiny_model)
    names = ("first_4_layers_q8", "last_4_layers_q8", "first_8_layers_q8")  # all four blocks
    await done(bench, measure(bench, *names))
    assert [result.name for result in bench.results] == ["base", "first_8_layers_q8"]


async def test_any_two_results_are_compared_on_the_chunks_that_both_have(
    opened: Workbench, settings: Settings, paths: Paths
) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.configure(replace(settings, chunks=5))
    await done(opened, measure(opened, "ffn_q8"))
    worse, better = row(opened, "uniform_q4_0"), row(opened, "ffn_q8")
    assert (worse.chunks, better.chunks) == (3, 5)
    found, seen = opened.compare(worse, better), opened.look(worse, better)
    assert found is not None and found.chunks == 3 and found.kld is not None
    assert seen is not None and seen.difference.value == found.kld.value
    klds = [
        np.stack([c.kld for c in kept(paths, opened, r.digest)[:3] if c.kld is not None]).astype(np.float64)
        for r in (worse, better)
    ]
    assert found.kld.value == pytest.approx(klds[0].mean() - klds[1].mean())
    opened.configure(replace(settings, n_ctx=64))
    assert opened.compare(worse, better) is None


async def test_what_the_store_knows_is_answered_without_a_child_and_survives_a_restart(
    opened: Workbench, paths: Paths, settings: Settings, demo_model: Path
) -> None:
    await done(opened, measure(opened, "baseline_fp16", "ffn_q8", speed=True))
    results = opened.results
    again = await done(opened, measure(opened, "baseline_fp16", "ffn_q8", speed=True))
    assert not again.log.exists() and opened.results == results
    await opened.close()

    later = Workbench(paths, settings)
    await later.open(demo_model)
    assert {r.digest: r for r in later.results} == {r.digest: r for r in results}
    assert [job.kind for job in later.jobs] == []  # the file is unchanged: not even a fingerprint
    anew = await done(later, measure(later, "ffn_q8", fresh=True))
    assert anew.log.exists()
    assert row(later, "ffn_q8").perplexity == row(opened, "ffn_q8").perplexity
    await later.close()


async def test_other_settings_have_other_results_and_the_old_ones_come_back(
    opened: Workbench, settings: Settings
) -> None:
    await done(opened, measure(opened, "ffn_q8"))
    old = opened.results
    opened.configure(replace(settings, n_ctx=64))
    assert opened.results == ()
    await done(opened, measure(opened, "ffn_q8"))
    assert opened.results[0].perplexity != old[0].perplexity
    opened.configure(settings)
    assert opened.results == old


async def test_more_chunks_are_scored_after_those_that_are_known(
    opened: Workbench, settings: Settings
) -> None:
    opened.configure(replace(settings, chunks=5))
    await done(opened, measure(opened, "ffn_q8"))
    whole = row(opened, "ffn_q8")
    opened.configure(replace(settings, chunks=6))
    known = row(opened, "ffn_q8")
    assert known.partial and known.chunks == 5 and known.perplexity == whole.perplexity
    await done(opened, measure(opened, "ffn_q8"))
    more = row(opened, "ffn_q8")
    assert not more.partial and more.chunks == 6
    anew = await done(opened, measure(opened, "ffn_q8", fresh=True))
    assert row(opened, "ffn_q8").perplexity == more.perplexity and anew.log.exists()


async def test_a_text_shorter_than_the_chunks_asked_for_is_measured_whole_and_once(
    opened: Workbench, settings: Settings, english: Path, tmp_path: Path, paths: Paths, demo_model: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text(english.read_text()[:3000])
    opened.configure(replace(settings, corpus=short, chunks=1000))
    await done(opened, measure(opened, "ffn_q8"))
    results = opened.results
    assert all(2 <= result.chunks < 1000 and not result.partial for result in results)
    assert {result.chunks for result in results} == {opened.chunks_wanted}
    again = await done(opened, measure(opened, "ffn_q8"))
    assert not again.log.exists() and opened.results == results
    later = Workbench(paths, replace(opened.settings, chunks=999))
    await later.open(demo_model)
    assert later.results == results and later.chunks_wanted == results[0].chunks
    await later.close()


async def test_a_broken_model_gives_a_result_that_says_so(bench: Workbench, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "broken.gguf")
    raw = model.read_bytes()
    ones = np.ones(64, np.float32).tobytes()
    assert ones in raw
    model.write_bytes(raw.replace(ones, np.full(64, 3e38, np.float32).tobytes(), 1))
    await bench.open(model)
    job = await done(bench, measure(bench, "baseline_fp16", "uniform_q4_0"))
    assert "not a number" in job.message
    for result in bench.results:
        assert result.broken and not result.partial and result.chunks == 3
        numbers = (result.perplexity, result.kld, result.kld_se, result.kld_max, result.top1_agreement)
        assert all(number is not None and math.isnan(number) for number in numbers)
    assert "not a number" in bench.script_for(planned(bench, "uniform_q4_0"))


async def test_a_type_without_its_importance_matrix_is_refused(opened: Workbench) -> None:
    opened.assign(["blk.0.ffn_up.weight"], TensorType.IQ2_XS, "too low")
    with pytest.raises(WorkbenchError, match="importance matrix"):
        opened.measure()


async def test_a_recipe_edited_after_its_measurement_gets_a_name_of_its_own(opened: Workbench) -> None:
    opened.assign(["blk.0.attn_q.weight"], TensorType.Q8_0, "one")
    await done(opened, opened.measure())
    opened.assign(["blk.1.attn_q.weight"], TensorType.Q8_0, "two")
    assert opened.plan is not None and opened.plan.recipe.name == "custom-2"
    opened.undo()
    opened.rename("mine")
    assert [row.name for row in opened.results if row.digest == opened.plan.digest] == ["mine"]


async def test_more_chunks_measured_earlier_answer_for_fewer(opened: Workbench) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.configure(replace(opened.settings, chunks=2))
    job = await done(opened, measure(opened, "uniform_q4_0"))
    result = opened.result(planned(opened, "uniform_q4_0"))
    assert result is not None and (result.chunks, result.partial) == (2, False)
    assert not job.log.exists()  # nothing was asked of the engine
