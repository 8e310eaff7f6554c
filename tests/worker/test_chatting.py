"""Models that answer side by side: they say what llama.cpp makes them say, and how it ends is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from gguf_files import write_tiny_llama

from lqtui.llama.chat_prompt import NO_TEMPLATE
from lqtui.llama.gguf import BaseModel
from lqtui.recipe.imatrix import Encoding
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import base_recipe, resolve
from lqtui.recipe.shape import ModelShape
from lqtui.store.paths import Paths
from lqtui.worker.chat_messages import Chat, ChatAgreed, ChatBegun, ChatEnded, ChatSide, ChatToken
from lqtui.worker.client import JobFailed
from lqtui.worker.messages import Event, Progress
from tests.worker.child_runs import DIGEST, Run, is_gone, partials, write_task

PROMPT = "The list of words is"


def encodings_of(shape: ModelShape, name: str = "") -> dict[str, Encoding]:
    return resolve(shape, preset(name, shape) if name else base_recipe(shape)).encodings


def chat_task(
    model: Path,
    shape: ModelShape,
    paths: Paths,
    *names: str,
    turns: list[str] | None = None,
    **changes: object,
) -> Chat:
    """The base model, and presets beside it."""
    sides = [ChatSide(encodings_of(shape, name), turns or [PROMPT]) for name in ("", *names)]
    values: dict[str, object] = {
        "model": model,
        "sides": sides,
        "pool": paths.pool,
        "model_digest": DIGEST,
        "label": "chat",
        "max_tokens": 24,
        "temperature": 0.0,
        "seed": 0,
        "threads": 1,
        "memory": 1 << 40,
    }
    return Chat(**(values | changes))  # type: ignore[arg-type]


def tokens(run: Run, side: int) -> list[int]:
    return [event.token for event in run.of(ChatToken) if event.side == side]


def text(run: Run, side: int) -> str:
    spoken = [e for e in run.events if isinstance(e, ChatToken | ChatEnded) and e.side == side]
    return "".join(event.text for event in spoken)


async def test_the_base_says_greedily_what_the_binding_itself_makes_it_say(
    run: Run, demo_model: Path, demo_shape: ModelShape, paths: Paths
) -> None:
    await run(chat_task(demo_model, demo_shape, paths))
    llama = llama_cpp.Llama(str(demo_model), n_ctx=256, n_threads=1, verbose=False)
    told = llama.create_completion(PROMPT, max_tokens=24, temperature=0.0, repeat_penalty=1.0)
    assert text(run, 0) == told["choices"][0]["text"]  # type: ignore[index]
    assert len(tokens(run, 0)) == 24 and run.of(ChatEnded) == [ChatEnded(0, "length")]
    assert run.of(ChatBegun) == [ChatBegun(NO_TEMPLATE, True)]


async def test_a_recipe_says_what_its_written_file_says(
    run: Run, tmp_path: Path, demo_model: Path, demo_shape: ModelShape, paths: Paths
) -> None:
    await run(chat_task(demo_model, demo_shape, paths, "uniform_q4_0"))
    out = tmp_path / "q4.gguf"
    await Run(tmp_path / "write.log")(write_task(demo_model, demo_shape, out, paths))
    with BaseModel(out) as written:
        alone = Run(tmp_path / "alone.log")
        await alone(chat_task(out, written.shape, paths))
    assert tokens(run, 1) == tokens(alone, 0) != tokens(run, 0)
    assert not partials(paths.pool)


async def test_they_take_turns_and_where_memory_is_short_follow_each_other_with_the_same_words(
    run: Run, tmp_path: Path, demo_model: Path, demo_shape: ModelShape, paths: Paths
) -> None:
    await run(chat_task(demo_model, demo_shape, paths, "uniform_q4_0"))
    apart = Run(tmp_path / "apart.log")
    await apart(chat_task(demo_model, demo_shape, paths, "uniform_q4_0", memory=0))
    assert [event.side for event in run.of(ChatToken)] == [0, 1] * 24
    assert [event.side for event in apart.of(ChatToken)] == [0] * 24 + [1] * 24
    assert [begun.together for begun in (*run.of(ChatBegun), *apart.of(ChatBegun))] == [True, False]
    assert [tokens(run, side) for side in (0, 1)] == [tokens(apart, side) for side in (0, 1)]
    assert run.of(ChatAgreed) == apart.of(ChatAgreed)


async def test_agreement_counts_the_tokens_that_the_recipe_would_choose_after_the_bases_words(
    run: Run, tmp_path: Path, demo_model: Path, demo_shape: ModelShape, paths: Paths
) -> None:
    await run(chat_task(demo_model, demo_shape, paths, "uniform_q4_0", "", max_tokens=80))
    base, recipe = tokens(run, 0), tokens(run, 1)
    parted = next(i for i, (mine, its) in enumerate(zip(base, recipe, strict=True)) if mine != its)
    of_recipe, of_base = run.of(ChatAgreed)
    assert (of_base.same, of_base.total) == (80, 80)  # the base beside itself
    assert parted <= of_recipe.same < of_recipe.total == 80


async def test_all_sides_draw_by_the_same_chance_which_the_seed_alone_decides(
    tmp_path: Path, demo_model: Path, demo_shape: ModelShape, paths: Paths
) -> None:
    drawn = []
    for number, seed in enumerate((1, 1, 2)):
        run = Run(tmp_path / f"{number}.log")
        await run(chat_task(demo_model, demo_shape, paths, "", temperature=1.0, seed=seed))
        assert tokens(run, 0) == tokens(run, 1)
        drawn.append(tokens(run, 0))
    assert drawn[0] == drawn[1] != drawn[2]


async def test_no_piece_of_text_ends_within_a_character(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, paths: Paths
) -> None:
    task = chat_task(tiny_model, tiny_shape, paths, temperature=50.0, seed=3, max_tokens=400)
    await run(task)
    byte_tokens = {256: b" t", 257: b""} | {byte: bytes([byte]) for byte in range(256)}
    raw = b"".join(byte_tokens[token] for token in tokens(run, 0))
    assert text(run, 0) == raw.decode("utf-8", "replace")
    assert any(len(event.text.encode()) > 1 and "\ufffd" not in event.text for event in run.of(ChatToken))


async def test_a_token_that_ends_the_answer_ends_it(
    run: Run, tmp_path: Path, tiny_shape: ModelShape, paths: Paths
) -> None:
    model = write_tiny_llama(tmp_path / "tiny.gguf")
    llama = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    await run(chat_task(model, tiny_shape, paths, temperature=5.0, max_tokens=2000 - len(PROMPT)))
    said = tokens(run, 0)
    assert said.index(llama.token_eos()) == len(said) - 1
    assert run.of(ChatEnded)[0].reason == "end"


async def test_an_answer_is_no_longer_than_the_models_context(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, paths: Paths
) -> None:
    task = chat_task(tiny_model, tiny_shape, paths, turns=["e" * 2040], max_tokens=100)
    await run(task)
    assert len(tokens(run, 0)) == 8
    assert run.of(ChatEnded)[0].reason == "context"


async def test_a_conversation_that_fills_the_context_is_refused(
    run: Run, tiny_model: Path, tiny_shape: ModelShape, paths: Paths
) -> None:
    with pytest.raises(JobFailed, match="of 3000 tokens fills the model's context of 2048; begin a new one"):
        await run(chat_task(tiny_model, tiny_shape, paths, turns=["e" * 3000]))


async def test_a_broken_model_says_nothing_and_that_is_told(run: Run, tmp_path: Path, paths: Paths) -> None:
    model = write_tiny_llama(tmp_path / "broken.gguf")
    ones = np.ones(64, np.float32).tobytes()
    model.write_bytes(model.read_bytes().replace(ones, np.full(64, 3e38, np.float32).tobytes(), 1))
    with BaseModel(model) as base:
        await run(chat_task(model, base.shape, paths, "uniform_q4_0"))
    assert run.of(ChatToken) == []
    assert [(ended.side, ended.reason) for ended in run.of(ChatEnded)] == [(0, "broken"), (1, "broken")]


async def test_stopping_ends_the_child_in_the_middle_of_an_answer(
    run: Run, slow_model: Path, slow_shape: ModelShape, paths: Paths
) -> None:
    def third(event: Event) -> bool:
        return len(run.of(ChatToken)) == 3

    run.until = third
    job = asyncio.create_task(run(chat_task(slow_model, slow_shape, paths, max_tokens=2000)))
    await asyncio.wait_for(run.reached.wait(), 20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert is_gone(run.pid)
    assert len(run.of(ChatToken)) < 2000


async def test_what_is_quantized_for_a_chat_is_kept_for_the_next(
    run: Run, tmp_path: Path, tiny_model: Path, tiny_shape: ModelShape, paths: Paths
) -> None:
    again = Run(tmp_path / "again.log")
    for each in (run, again):
        await each(chat_task(tiny_model, tiny_shape, paths, "uniform_q4_0"))
    stages = [[event.stage for event in each.of(Progress)] for each in (run, again)]
    assert "quantizing" in stages[0] and "quantizing" not in stages[1]
