"""An Estimate task: what it tells in which order, how it is stopped, and the sentences of what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.worker.client import JobFailed
from lqtui.worker.messages import (
    BlockEstimated,
    CorpusRead,
    Estimate,
    Event,
    Progress,
    TensorEstimated,
)
from tests.worker.child_runs import Run, is_gone

TYPES = [TensorType.Q8_0, TensorType.Q4_K, TensorType.Q4_0, TensorType.IQ1_S]


def estimate_task(model: Path, corpus: Path, **changes: object) -> Estimate:
    values: dict[str, object] = {"n_ctx": 128, "chunks": 3, "types": TYPES, "threads": 2}
    return Estimate(model, corpus, **(values | changes))  # type: ignore[arg-type]


async def test_tensors_and_blocks_are_told_in_the_order_of_the_file_with_the_progress(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, tiny_corpus: Path
) -> None:
    done = await run(estimate_task(tiny_model, tiny_corpus))
    names = [tensor.name for tensor in quantizable_tensors(tiny_shape)]
    tensors = [event.estimate for event in run.of(TensorEstimated)]
    assert [tensor.name for tensor in tensors] == names
    assert [event.estimate.block for event in run.of(BlockEstimated)] == [0, 1, 2, 3]
    assert [(p.stage, p.done, p.total, p.unit) for p in run.of(Progress)] == [
        ("loading", 0, 1, "model"),
        *[("activations", done, 3, "chunks") for done in (1, 2, 3)],
        *[("estimating", done, len(names), "tensors") for done in range(len(names) + 1)],
    ]
    assert isinstance(run.events[0], CorpusRead) and run.events[0].chunks == 3
    assert "llama-cpp-python" in done.build
    for tensor in tensors:
        # Rows of 64 and 96 have no Q4_K and no IQ1_S, and get what llama-quantize falls back to.
        effective = [TensorType.Q8_0, TensorType.Q5_0, TensorType.Q4_0, TensorType.IQ4_NL]
        assert tensor.product and list(tensor.product.errors) == effective
        assert tensor.product.relative(TensorType.Q8_0) < tensor.product.relative(TensorType.Q4_0) < 0.05
        assert bool(tensor.lookup) == (tensor.name == "token_embd.weight")


async def test_chunks_from_all_over_the_text_give_other_numbers(
    tmp_path: Path, tiny_model: Path, tiny_corpus: Path
) -> None:
    powers = []
    for spread in (False, True):
        run = Run(tmp_path / f"{spread}.log")
        await run(estimate_task(tiny_model, tiny_corpus, chunks=2, spread=spread))
        product = run.of(TensorEstimated)[5].estimate.product
        assert product
        powers.append(product.power)
    assert powers[0] != powers[1] and powers[0] == pytest.approx(powers[1], rel=0.2)


async def test_an_embedding_beside_an_output_is_only_looked_up(
    run: Run, tmp_path: Path, tiny_corpus: Path
) -> None:
    await run(estimate_task(write_tiny_llama(tmp_path / "untied.gguf", tied=False), tiny_corpus))
    found = {event.estimate.name: event.estimate for event in run.of(TensorEstimated)}
    assert found["token_embd.weight"].product is None and found["token_embd.weight"].lookup
    assert found["output.weight"].lookup is None and found["output.weight"].product


@pytest.mark.parametrize("stage, chunks", [("activations", 40), ("estimating", 1)])
async def test_it_can_be_stopped_at_any_time(
    stage: str, chunks: int, run: Run, slow_model: Path, tiny_corpus: Path
) -> None:
    def reached(event: Event) -> bool:
        return isinstance(event, Progress) and event.stage == stage

    run.until = reached
    many = [t for t in TensorType if t.is_quantized and not t.needs_imatrix]
    task = estimate_task(slow_model, tiny_corpus, n_ctx=512, chunks=chunks, types=many)
    job = asyncio.create_task(run(task))
    await asyncio.wait_for(run.reached.wait(), 60)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(job, 10)
    assert is_gone(run.pid)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"n_ctx": 4096}, "4096 tokens is longer than the model's own of 2048"),
        ({"corpus": Path("/no/such/text.txt")}, r"/no/such/text\.txt does not exist"),
        ({"model": Path("/no/such/model.gguf")}, r"/no/such/model\.gguf does not exist"),
    ],
)
async def test_what_cannot_be_estimated_is_a_sentence(
    changes: dict[str, object], sentence: str, run: Run, tiny_model: Path, tiny_corpus: Path
) -> None:
    values = {"model": tiny_model, "corpus": tiny_corpus} | changes
    with pytest.raises(JobFailed, match=sentence):
        await run(estimate_task(**values))  # type: ignore[arg-type]
    assert not run.of(TensorEstimated)


async def test_a_text_that_does_not_fill_two_chunks_is_a_sentence(
    run: Run, tmp_path: Path, tiny_model: Path
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("too short")
    with pytest.raises(JobFailed, match=r"short\.txt is too short: 9 tokens, and two chunks of 128 need 256"):
        await run(estimate_task(tiny_model, text))
    assert not run.events
