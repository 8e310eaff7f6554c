"""`lqtui chat`: answers side by side for people and for scripts, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gguf_files import write_tiny_llama

from tests.cli.running import document, lqtui, refused

QUICK = ["--threads", "1", "--max-tokens", "12"]
Q4 = ["--preset", "uniform_q4_0"]
PROMPT = "The list of words is"


def test_one_prompt_gets_both_answers_and_how_they_compare(demo_model: Path) -> None:
    done = lqtui("chat", demo_model, *Q4, *QUICK, "--max-tokens", "40", "--prompt", PROMPT)
    assert done.returncode == 0, done.stderr
    told = document(
        lqtui("chat", demo_model, *Q4, *QUICK, "--max-tokens", "40", "--prompt", PROMPT, "--json")
    )
    (exchange,) = told["exchanges"]
    base, recipe = exchange["answers"]
    assert f"base (17.6 MiB)\n{base['text']}\n" in done.stdout
    at = exchange["first_difference"]
    assert exchange["same_tokens"] == at and base["tokens"] == recipe["tokens"] == 40
    shared, marked = done.stdout.split("uniform_q4_0 (5.2 MiB)\n")[1].split("▸")[:2]
    assert base["text"].startswith(shared) and recipe["text"].startswith(shared)
    assert recipe["text"].startswith(shared + marked[:1])
    assert f"The first {at} of 40 tokens are the same" in done.stdout
    assert "each prompt is completed by itself" in done.stderr
    assert told["chat_template"] is False and told["note"]


def test_lines_of_standard_input_are_a_conversation(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "chat.gguf", chat_template="<|im_start|>")
    done = subprocess.run(
        [sys.executable, "-m", "lqtui", "chat", str(model), *Q4, *QUICK, "--json"],
        input="First\n\nSecond",
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = document(done)
    assert [exchange["prompt"] for exchange in told["exchanges"]] == ["First", "Second"]
    assert told["chat_template"] is True and told["note"] is None
    assert done.stdout.count("\n{") == 0


def test_the_same_seed_gives_the_same_answers(demo_model: Path) -> None:
    options = [*Q4, *QUICK, "--prompt", PROMPT, "--temp", "0.9", "--json"]
    texts = [
        [answer["text"] for answer in document(done)["exchanges"][0]["answers"]]
        for done in (lqtui("chat", demo_model, *options, "--seed", seed) for seed in ("5", "5", "6"))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_the_base_alone_is_told_as_such(demo_model: Path) -> None:
    done = lqtui("chat", demo_model, "--preset", "baseline_fp16", *QUICK, "--prompt", PROMPT)
    assert done.returncode == 0
    assert "baseline_fp16 is the base model itself, so it answers alone" in done.stderr
    assert done.stdout.count("MiB)") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompt", " "], "the prompt is empty"),
        ([], "there is nothing to answer"),
        (["--prompt", "x" * 20000], "fills the model's context"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(tiny_model: Path, options: list[str], sentence: str) -> None:
    refused(lqtui("chat", tiny_model, *Q4, *QUICK, *options), sentence)


def test_a_recipe_must_be_named(tiny_model: Path) -> None:
    refused(lqtui("chat", tiny_model, "--prompt", "x"), "give one recipe")
