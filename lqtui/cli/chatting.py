"""`lqtui chat`: the base model's answer, then a recipe's, as they are spoken."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, on_bench
from lqtui.cli.recipes import WantedRecipe
from lqtui.workbench import Change, Job, JobState, Settings, Workbench, WorkbenchError
from lqtui.workbench.conversation import Answer, Conversation, Exchange, Sampling, readable, said

_MARK = "▸"
"""Stands before the first token that differs."""
_LINE_BYTES = 1 << 16


def chat(
    model: Path,
    wanted: WantedRecipe,
    prompt: str | None,
    how: Sampling,
    chosen: Settings,
    requantize: bool,
    json: bool,
) -> None:
    """Answer one prompt, or each line of standard input, with the base model and a recipe."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # models speak all languages

    async def run(bench: Workbench) -> tuple[Conversation, Job | None]:
        await bench.open(model, requantize=requantize)
        plan = await wanted.plan(bench)
        conversation, job = bench.converse(plan), None
        if len(conversation.plans) == 1:
            print(
                output.shown(f"{plan.recipe.name} is the base model itself, so it answers alone"),
                file=sys.stderr,
            )
        async for line in _prompts(prompt):
            job = await _asked(bench, conversation, line, how, json)
            if job.state is not JobState.DONE:
                break
        if job is None:
            raise WorkbenchError("there is nothing to answer; give --prompt TEXT, or lines on standard input")
        return conversation, job

    conversation, job = on_bench(chosen, run)
    assert job is not None
    if json and job.state is JobState.DONE:
        output.print_json(_document(model, conversation, how))
    exit_unless_done(job)


async def _prompts(prompt: str | None) -> AsyncIterator[str]:
    """The one prompt, or the lines of standard input that are not blank."""
    if prompt is not None:
        yield prompt
        return
    while line := await _line():
        if line.strip():
            yield line


async def _line() -> str:
    """The next line of standard input, empty at its end; at a terminal, where ctrl+c must end the wait."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    print("> ", end="", file=sys.stderr, flush=True)
    loop, ready, terminal = asyncio.get_running_loop(), asyncio.Event(), sys.stdin.fileno()
    loop.add_reader(terminal, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(terminal)
    return os.read(terminal, _LINE_BYTES).decode("utf-8", "replace")


async def _asked(bench: Workbench, conversation: Conversation, prompt: str, how: Sampling, json: bool) -> Job:
    """Have a prompt answered, and show the answers as they come."""
    line = output.ProgressLine()
    spoken = _Spoken(conversation)

    def speak() -> None:
        if conversation.exchanges[-1].answers[0].tokens:
            line.end()
            if not json:
                spoken.go_on(conversation.exchanges[-1])

    def listen(change: Change) -> None:
        running = next(known for known in bench.jobs if known.id == job.id)
        if change is Change.JOBS and not conversation.exchanges[-1].answers[0].tokens:
            line.show(running)

    job = bench.ask(conversation, prompt, how, speak)
    unsubscribe = bench.subscribe(listen)
    try:
        job = await bench.wait(job)
    finally:
        unsubscribe()
        line.end()
    if not json and job.state is JobState.DONE:
        spoken.end(conversation.exchanges[-1])
    return job


class _Spoken:
    """Answers on standard output, one under the other: each goes on as soon as the one above has ended."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._side = -1
        self._pieces = 0
        self._noted = False

    def go_on(self, exchange: Exchange) -> None:
        """Print what is new."""
        if exchange.note and not self._noted:
            self._noted = True
            print(f"({exchange.note})\n", file=sys.stderr)
        if self._side < 0:
            self._begin(0)
        while True:
            answer = exchange.answers[self._side]
            self._print_new(exchange, answer)
            if not answer.ended or self._side + 1 == len(exchange.answers):
                break
            print("\n")
            self._begin(self._side + 1)
        sys.stdout.flush()

    def _begin(self, side: int) -> None:
        plan = self._conversation.plans[side]
        print(output.shown(f"{plan.recipe.name} ({plan.file_bytes / output.MIB:.1f} MiB)"))
        self._side, self._pieces = side, 0

    def _print_new(self, exchange: Exchange, answer: Answer) -> None:
        parts = exchange.first_difference if self._side else None
        new = answer.pieces[self._pieces :]
        text = "".join(
            (_MARK if number == parts else "") + piece for number, piece in enumerate(new, start=self._pieces)
        )
        self._pieces = len(answer.pieces)
        print(readable(text), end="")

    def end(self, exchange: Exchange) -> None:
        """Print how the answers compare, and how fast they were."""
        if self._side < 0:  # not a token came
            self._begin(0)
        print("\n")
        names = self._conversation.names
        for name, answer in zip(names, exchange.answers, strict=True):
            if answer.ended == "broken":
                print(output.shown(f"{name} breaks the model: it gives no probabilities"))
        if compared := said(exchange, names):
            mark = f" ({_MARK} marks where they part)" if exchange.first_difference is not None else ""
            print(output.shown(f"{compared[0].upper()}{compared[1:]}{mark}."))
        speeds = [
            f"{name} {answer.tokens_per_second:.1f} tok/s"
            for name, answer in zip(names, exchange.answers, strict=True)
            if answer.tokens_per_second
        ]
        if speeds:
            apart = (
                "" if exchange.together else "; one after the other, because the memory does not hold both"
            )
            print(output.shown(f"{', '.join(speeds)}{apart}"))


def _document(model: Path, conversation: Conversation, how: Sampling) -> dict[str, object]:
    """What was said, as `lqtui chat --json` prints it; places of tokens count from 0."""
    notes = {exchange.note for exchange in conversation.exchanges}
    return {
        "model": str(model),
        "chat_template": notes == {""},
        "note": next(iter(notes)) or None,
        "max_tokens": how.max_tokens,
        "temperature": how.temperature,
        "seed": how.seed,
        "exchanges": [
            {
                "prompt": exchange.prompt,
                "answers": [
                    {
                        "name": plan.recipe.name,
                        "file_bytes": plan.file_bytes,
                        "text": answer.text,
                        "tokens": len(answer.tokens),
                        "ended": answer.ended,
                        "tokens_per_second": answer.tokens_per_second,
                    }
                    for plan, answer in zip(conversation.plans, exchange.answers, strict=True)
                ],
                "same_tokens": exchange.same_tokens,
                "first_difference": exchange.first_difference,
                "agreement": exchange.agreement._asdict() if exchange.agreement else None,
                "together": exchange.together,
            }
            for exchange in conversation.exchanges
        ],
    }
