"""Conversations: what each side knows, what is said of the answers, and what becomes of a stopped one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from lqtui.recipe.recipe import without_blocks
from lqtui.recipe.types import TensorType
from lqtui.workbench import JobState, Workbench, WorkbenchError
from lqtui.workbench.conversation import (
    Agreement,
    Answer,
    Conversation,
    Exchange,
    Sampling,
    readable,
    said,
)
from tests.workbench.bench_jobs import done, planned, until

SHORT = Sampling(max_tokens=8)


def nothing() -> None:
    """Hear nothing of what comes."""


def exchange(*answers: list[int], ended: str = "length", agreement: Agreement | None = None) -> Exchange:
    """An exchange with these tokens, each of which is a letter."""
    spoken = (Answer(list(each), [chr(96 + token) for token in each], ended=ended) for each in answers)
    return Exchange("?", tuple(spoken), SHORT, agreement)


async def talking(bench: Workbench, name: str = "uniform_q4_0") -> Conversation:
    return bench.converse(planned(bench, name))


# Asking


async def test_both_sides_answer_and_are_told_of_as_they_speak(opened: Workbench) -> None:
    conversation, seen = await talking(opened), []
    job = opened.ask(
        conversation,
        "The list of words is",
        SHORT,
        lambda: seen.append(sum(len(answer.tokens) for answer in conversation.exchanges[0].answers)),
    )
    await done(opened, job)
    (found,) = conversation.exchanges
    assert conversation.names == ("base", "uniform_q4_0")
    assert [len(answer.tokens) for answer in found.answers] == [8, 8]
    assert all(answer.tokens_per_second for answer in found.answers)
    assert found.agreement is not None and found.agreement.total == 8
    assert set(range(1, 17)) <= set(seen)


async def test_the_base_itself_answers_alone(opened: Workbench) -> None:
    conversation = opened.converse()
    await done(opened, opened.ask(conversation, "The", SHORT, nothing))
    (found,) = conversation.exchanges
    assert len(found.answers) == 1 and found.agreement is None and said(found, conversation.names) == ""


async def test_each_side_is_given_its_own_answers_again(opened: Workbench, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "tiny.gguf", chat_template="<|im_start|>")
    await opened.open(model)
    conversation = await talking(opened)
    drawn = Sampling(max_tokens=40, temperature=5.0)  # a random model would say one letter all the time
    for prompt in ("First?", "Second?"):
        await done(opened, opened.ask(conversation, prompt, drawn, nothing))
    first, _ = conversation.exchanges
    assert first.note == "" and first.answers[0].text != first.answers[1].text
    for side in (0, 1):
        assert conversation.turns(side, "Third?")[:3] == ["First?", first.answers[side].text, "Second?"]
        assert len(conversation.turns(side, "Third?")) == 5


async def test_a_stopped_answer_keeps_its_text(bench: Workbench, tmp_path: Path) -> None:
    await bench.open(write_tiny_llama(tmp_path / "slow.gguf", blocks=8, width=256, ffn=512))
    conversation = await talking(bench)
    job = bench.ask(conversation, "Go on", replace(SHORT, max_tokens=1900, temperature=1.0), nothing)
    (found,) = conversation.exchanges
    await until(lambda: len(found.answers[1].tokens) > 3)
    bench.cancel(job.id)
    assert (await bench.wait(job)).state is JobState.CANCELLED
    assert [answer.ended for answer in found.answers] == ["stopped", "stopped"]
    assert all(3 < len(answer.tokens) < 1900 for answer in found.answers)


async def test_an_exchange_that_was_stopped_before_its_turn_is_not_part_of_the_conversation(
    opened: Workbench,
) -> None:
    conversation = await talking(opened)
    job = opened.ask(conversation, "Never mind", SHORT, nothing)
    opened.cancel(job.id)
    await opened.wait(job)
    assert conversation.turns(0, "Well?") == ["Well?"]


# Refusals


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [(" \n", "is empty"), ("a\0b", "zero byte"), ("\udcff", "not valid Unicode")],
)
async def test_a_prompt_that_no_model_can_be_given_is_refused(
    opened: Workbench, prompt: str, sentence: str
) -> None:
    conversation = await talking(opened)
    with pytest.raises(WorkbenchError, match=sentence):
        opened.ask(conversation, prompt, SHORT, nothing)
    assert conversation.exchanges == [] and all(job.kind != "chat" for job in opened.jobs)


async def test_a_conversation_ends_with_its_model(opened: Workbench, tiny_model: Path) -> None:
    conversation = await talking(opened)
    await opened.open(tiny_model)
    with pytest.raises(WorkbenchError, match="another model was opened"):
        opened.ask(conversation, "Still there?", SHORT, nothing)


async def test_a_model_with_blocks_left_out_cannot_speak(opened: Workbench) -> None:
    with pytest.raises(WorkbenchError, match="leaves blocks out"):
        opened.converse(without_blocks(planned(opened, "uniform_q4_0"), [1]))


async def test_types_without_their_importance_matrix_cannot_speak(opened: Workbench) -> None:
    opened.assign(["blk.0.ffn_up.weight"], TensorType.IQ2_XS, "too low")
    with pytest.raises(WorkbenchError, match="importance matrix"):
        opened.converse()


# What is said of two answers


def test_answers_part_at_their_first_different_token() -> None:
    found = exchange([1, 2, 3, 4], [1, 2, 9, 4, 5], agreement=Agreement(3, 4))
    assert (found.first_difference, found.same_tokens) == (2, 2)
    assert said(found, ("base", "mine")) == (
        "the first 2 of 5 tokens are the same; "
        "given the base's words, mine would choose 3 of its 4 tokens too"
    )


def test_what_one_side_has_not_said_yet_is_no_difference() -> None:
    found = exchange([1, 2, 3], [1, 2], ended="")
    assert found.first_difference is None
    assert said(found, ("base", "mine")) == "2 tokens so far, all the same"
    assert said(exchange([1, 2, 3], []), ("base", "mine")) == ""


def test_equal_answers_and_wholly_different_ones_are_told_as_such() -> None:
    equal = exchange([1, 2], [1, 2], agreement=Agreement(2, 2))
    assert said(equal, ("base", "mine")) == "all 2 tokens are the same"
    assert said(exchange([1], [2]), ("base", "mine")) == "they differ from the first token on"


def test_nothing_that_a_terminal_would_obey_is_left_in_a_models_text() -> None:
    assert readable("\x1b[31mred\x07\x9b2J\u202eback\r\n\tü 日本 👩\u200d🔬") == (
        "�[31mred��2J�back\n    ü 日本 👩\u200d🔬"
    )
