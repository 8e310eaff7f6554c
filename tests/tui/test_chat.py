"""The chat: asking, what streams in on both sides, where they part, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from driving import running, screen_text, toasts
from fakes import FakeWorkbench
from model_shapes import llama_shape
from textual.widgets import Input

from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.tui.screens.chat import ChatScreen
from lqtui.tui.screens.main import MainScreen
from lqtui.tui.widgets.answer import AnswerPane
from lqtui.workbench import Job, JobState, WorkbenchError
from lqtui.workbench.conversation import Answer, Conversation, Exchange, Sampling
from lqtui.worker.chat_messages import ChatAgreed, ChatBegun, ChatEnded, ChatEvent, ChatToken

Q4_KEYS = ("a", "4")


class TalkingWorkbench(FakeWorkbench):
    """Answers what the test lets it answer."""

    def __init__(self) -> None:
        super().__init__(llama_shape())
        self.asked: list[tuple[str, Sampling]] = []
        self.changed: Callable[[], None] = lambda: None

    def converse(self, plan: Plan | None = None) -> Conversation:
        plan = self._open_plan()
        plan = msgspec.structs.replace(plan, recipe=msgspec.structs.replace(plan.recipe, name="mine"))
        base = resolve(plan.shape, base_recipe(plan.shape))
        self.conversation = Conversation((base,) if plan.unchanged else (base, plan))
        return self.conversation

    def ask(
        self, conversation: Conversation, prompt: str, sampling: Sampling, changed: Callable[[], None]
    ) -> Job:
        if not prompt.strip():
            raise WorkbenchError("the prompt is empty; write something")
        self.asked.append((prompt, sampling))
        self.changed = changed
        conversation.exchanges.append(Exchange(prompt, tuple(Answer() for _ in conversation.plans), sampling))
        return self._start(f"chat: {prompt}", "chat")

    def say(self, *events: ChatEvent) -> None:
        for event in events:
            self.conversation.exchanges[-1].hear(event)
        self.changed()

    def answer(self, base: str, recipe: str, *, end: bool = True) -> None:
        """Let both sides say these letters, each of them a token."""
        self.say(ChatBegun("", True))
        for side, text in enumerate((base, recipe)):
            self.say(*(ChatToken(side, ord(letter), letter, 0.02 * bool(i)) for i, letter in enumerate(text)))
        if end:
            self.say(ChatEnded(0, "length"), ChatEnded(1, "length"), ChatAgreed(1, len(base) - 1, len(base)))
            self.finish()

    def finish(self, state: JobState = JobState.DONE, message: str = "answered") -> None:
        self.advance(len(self.jobs), state=state, message=message)


@pytest.fixture
def talking() -> TalkingWorkbench:
    return TalkingWorkbench()


async def ask(pilot, prompt: str = "why") -> None:
    await pilot.press(*prompt, "enter")
    await pilot.pause()


async def shown(pilot) -> str:
    """The screen once what came is shown."""
    await pilot.pause(0.1)
    return screen_text(pilot)


# -- asking and answering


async def test_both_answers_stream_in_and_the_first_different_token_is_marked(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("the sea", "the sky", end=False)
        text = await shown(pilot)
        assert "> why" in text and "the s▸ea" in text and "the s▸ky" in text
        assert "The first 5 of 7 tokens are the same" in text
        assert text.count("7 tokens · 50.0 tok/s") == 2
        talking.say(ChatToken(1, 0, " more", 0.02))
        assert "the s▸ky more" in await shown(pilot)


async def test_when_both_have_answered_the_next_prompt_can_be_typed(talking) -> None:
    async with running(talking, notifications=True) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot, "one")
        talking.answer("sea", "sky")
        text = await shown(pilot)
        assert "given the base's words, mine would choose 2 of its 3 tokens too" in text
        assert not any("answered" in toast for toast in toasts(pilot))  # it is on the screen already
        await ask(pilot, "two")
        assert [prompt for prompt, _ in talking.asked] == ["one", "two"]
        assert "> one" in screen_text(pilot) and "> two" in screen_text(pilot)


async def test_an_end_where_the_other_goes_on_is_a_difference_that_shows(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("sky", "sky", end=False)
        talking.say(ChatToken(0, 0, "", 0.02), ChatEnded(0, "end"), ChatToken(1, 7, "!", 0.02))
        text = await shown(pilot)
        assert "sky▸∎" in text and "sky▸!" in text


async def test_what_a_terminal_would_obey_is_not_shown(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("\x1b[2J\x07[red]x[/red]", "\x9b", end=False)
        text = await shown(pilot)
        assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text
        assert "[red]x[/red]" in text


async def test_the_base_itself_answers_alone(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press("P")
        await pilot.pause()
        assert len(pilot.app.screen.query(AnswerPane)) == 1


async def test_length_temperature_and_seed_can_be_chosen_and_are_kept(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await pilot.pause()
        assert "what differs is the quantization's alone" in screen_text(pilot)
        await pilot.press("tab", "left", "tab", "right", "right", "tab", "right")
        await pilot.pause()
        assert "Both draw by the same chance" in screen_text(pilot)
        await pilot.press("escape", "P")
        await pilot.pause()
        await ask(pilot)
        assert talking.asked[0][1] == Sampling(64, 0.5, 1)


async def test_the_conversation_goes_on_while_the_recipe_is_the_same(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("sea", "sky")
        await pilot.pause(0.1)
        await pilot.press("escape", "P")
        assert "> why" in await shown(pilot)
        await pilot.press("escape", "8", "P")
        assert "> why" not in await shown(pilot)


async def test_f2_begins_anew(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("sea", "sky")
        await pilot.pause(0.1)
        await pilot.press("f2")
        assert "> why" not in await shown(pilot)


# -- waiting, stopping, failing


@pytest.mark.parametrize("key", ["x", "escape"])
async def test_x_and_escape_stop_and_keep_the_text_and_escape_then_closes(talking, key: str) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("the sea", "the", end=False)
        await pilot.press(key)
        text = await shown(pilot)
        assert "cancel 1" in talking.calls
        assert "the sea" in text and text.count("· stopped") == 2
        assert pilot.app.screen.query_one(Input).has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, MainScreen)


async def test_what_it_waits_for_and_what_it_does_is_told(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "r", "P")
        await ask(pilot)
        assert "Waits for its turn behind: custom." in await shown(pilot)
        talking.advance(1, state=JobState.DONE)
        talking.advance(2, state=JobState.RUNNING, stage="quantizing", done=3, total=9, unit="MiB")
        assert "quantizing 3/9 MiB" in await shown(pilot)


async def test_a_failure_is_told_and_another_prompt_can_be_asked(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.finish(JobState.FAILED, "the engine's process was ended by SIGKILL")
        assert "the engine's process was ended by SIGKILL." in await shown(pilot)
        await ask(pilot, "again")
        assert talking.asked[-1][0] == "again"


async def test_an_empty_prompt_gets_a_sentence(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P", "space", "enter")
        assert "the prompt is empty; write something." in await shown(pilot)


async def test_a_refused_conversation_is_a_toast(talking) -> None:
    async with running(talking, notifications=True) as pilot:
        talking.refuse = "IQ1_S needs an importance matrix"
        await pilot.press("P")
        await pilot.pause()
        assert toasts(pilot) == ["IQ1_S needs an importance matrix"]
        assert isinstance(pilot.app.screen, MainScreen)


async def test_notes_on_templates_and_memory_are_told(talking) -> None:
    async with running(talking) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.say(ChatBegun("this model has no chat template: each prompt is completed by itself", False))
        talking.say(ChatToken(0, 1, "a", 0), ChatToken(1, 1, "a", 0))
        text = " ".join((await shown(pilot)).replace("│", " ").split())
        assert "One after the other, because the memory does not hold both" in text
        assert "This model has no chat template" in text


# -- room


@pytest.mark.parametrize(("size", "beside"), [((120, 36), True), ((80, 24), False)])
async def test_the_answers_stand_side_by_side_where_there_is_room(talking, size, beside: bool) -> None:
    async with running(talking, size) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await pilot.pause()
        left, right = (pane.region for pane in pilot.app.screen.query(AnswerPane))
        assert (left.y == right.y) is beside and (left.x == right.x) is not beside
        assert min(left.height, right.height) >= 6
        text = screen_text(pilot)
        assert "at most, tokens" in text and "seed" in text and "enter ask" in text


async def test_a_long_answer_is_followed_until_somebody_scrolls_up(talking) -> None:
    def last_line(text: str) -> str:
        return text.splitlines()[pane(pilot).region.bottom - 2]

    async with running(talking, (80, 24)) as pilot:
        await pilot.press(*Q4_KEYS, "P")
        await ask(pilot)
        talking.answer("\n".join("abcdefghijklm"), "short", end=False)
        assert " m " in last_line(await shown(pilot))
        talking.say(ChatToken(0, 0, "\nmore" * 20, 0.02))
        assert " more " in last_line(await shown(pilot))
        pane(pilot).scroll_to(y=0, animate=False)
        await pilot.pause()
        talking.say(ChatToken(0, 0, "\nlast", 0.02), ChatEnded(0, "end"), ChatEnded(1, "end"))
        talking.finish()
        await shown(pilot)
        assert pane(pilot).scroll_offset.y == 0
        await ask(pilot, "next")
        talking.say(ChatToken(0, 0, "\n" * 9 + "again", 0.02))
        assert " again " in last_line(await shown(pilot))


def pane(pilot) -> AnswerPane:
    assert isinstance(pilot.app.screen, ChatScreen)
    return pilot.app.screen.query_one("#side-0", AnswerPane)
