"""What a command measures on where no text is named, and what it says of that."""

from __future__ import annotations

from pathlib import Path

from gguf_files import tiny_text
from local_hub import LocalHub

from tests.cli.running import document, lqtui

QUICK = ["--preset", "uniform_q4_0", "--ctx", "128", "--chunks", "2", "--threads", "1", "--json"]


def test_wikitext_is_fetched_once_and_named(tiny_model: Path, hub: LocalHub) -> None:
    hub.add_wikitext(tiny_text(4000, seed=3))
    done = lqtui("measure", tiny_model, *QUICK)
    assert document(done)["corpus"] == "wikitext-2"
    assert "measure uniform_q4_0: fetching" in done.stderr
    asked = list(hub.requests)
    assert document(lqtui("measure", tiny_model, *QUICK, "--fresh"))["corpus"] == "wikitext-2"
    assert hub.requests == asked


def test_without_it_pythons_text_is_named_and_the_reason_is_on_standard_error(tiny_model: Path) -> None:
    done = lqtui("measure", tiny_model, *QUICK)
    assert document(done)["corpus"] == "python-topics"
    [told] = [line for line in done.stderr.splitlines() if "WikiText-2" in line]
    assert (
        told.startswith("measure uniform_q4_0: WikiText-2 could not be fetched") and "HF_HUB_OFFLINE" in told
    )


def test_a_named_text_is_called_by_its_file(tiny_model: Path, tiny_corpus: Path, hub: LocalHub) -> None:
    assert document(lqtui("measure", tiny_model, "--corpus", tiny_corpus, *QUICK))["corpus"] == "tiny"
    assert hub.requests == []
