"""Perplexity from chunks of a corpus: the same numbers that a slow, direct computation gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from lqtui.llama.corpus import corpus_chunks, read_corpus, spread_order, tokenize
from lqtui.llama.errors import EngineError
from lqtui.llama.forward import BATCH, Decoder
from lqtui.llama.runtime import Model, backend, context, loaded_model
from lqtui.measure.perplexity import perplexity, token_nll


@pytest.fixture
def load() -> Iterator[Callable[[Path], Model]]:
    """Loads models, and frees them at the end of the test."""
    import contextlib

    with contextlib.ExitStack() as stack:
        stack.enter_context(backend())
        yield lambda path: stack.enter_context(loaded_model([path], 0))


def chunk_nlls(model: Model, chunks: NDArray[np.int32], threads: int) -> Iterator[NDArray[np.float64]]:
    n_ctx = chunks.shape[1]
    with (
        context(model, n_ctx, min(n_ctx, BATCH), threads) as made,
        Decoder(model, made) as decoder,
    ):
        for chunk in chunks:
            pieces = decoder.pieces(chunk)
            yield np.concatenate([token_nll(decoder.decode(piece), piece.targets) for piece in pieces])


@pytest.fixture(scope="module")
def bos_model(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with a vocabulary that adds a beginning-of-sequence token."""
    field = gguf.GGUFReader(demo_model).get_field("tokenizer.ggml.add_bos_token")
    assert field is not None
    raw = bytearray(demo_model.read_bytes())
    raw[field.offset + sum(p.nbytes for p in field.parts) - 1] = 1
    out = tmp_path_factory.mktemp("bos") / "bos.gguf"
    out.write_bytes(raw)
    return out


@pytest.fixture(scope="module")
def models(demo_model: Path, bos_model: Path, tiny_model: Path) -> dict[str, Path]:
    return {"demo": demo_model, "demo with BOS": bos_model, "tiny": tiny_model}


def slow_nlls(path: Path, corpus: Path, n_ctx: int, chunks: int) -> list[list[float]]:
    """The definition, by the binding's own high-level class: the whole text, one chunk at a time."""
    model = llama_cpp.Llama(
        str(path),
        n_ctx=n_ctx,
        n_batch=n_ctx,
        n_ubatch=n_ctx,
        n_threads=1,
        n_threads_batch=1,
        flash_attn=True,  # as llama-perplexity has it by default
        logits_all=True,
        verbose=False,
        n_gpu_layers=0,
    )
    text = corpus.read_text().removesuffix("\n")
    tokens = model.tokenize(text.encode(), add_bos=True, special=False)
    adds_bos = llama_cpp.llama_vocab_get_add_bos(model._model.vocab)
    found = []
    for chunk in range(chunks):
        targets = tokens[chunk * n_ctx : (chunk + 1) * n_ctx]
        fed = [model.token_bos(), *targets[1:]] if adds_bos else targets
        model.reset()
        model.eval(fed)
        scores = model.scores[:n_ctx].astype(np.float64)
        nlls = []
        for position in range(n_ctx // 2, n_ctx - 1):
            row = scores[position]
            total = np.exp(row - row.max()).sum()
            nlls.append(float(row.max() + math.log(total) - row[targets[position + 1]]))
        found.append(nlls)
    model.close()
    return found


@pytest.mark.parametrize(
    "name, n_ctx",
    [
        *[("demo", n_ctx) for n_ctx in (64, 129, 512, 1000)],
        *[("demo with BOS", n_ctx) for n_ctx in (64, 512)],
        ("tiny", 1300),  # whose first decode has nothing to score
    ],
)
def test_nlls_equal_those_of_a_slow_reference(
    name: str, n_ctx: int, models: dict[str, Path], english: Path, load: Callable[[Path], Model]
) -> None:
    model = load(models[name])
    chunks = corpus_chunks(model, english, n_ctx, 2)
    nlls = np.array(list(chunk_nlls(model, chunks, 1)))
    slow = np.array(slow_nlls(models[name], english, n_ctx, 2))
    assert nlls.shape == slow.shape == (2, n_ctx - 1 - n_ctx // 2)
    np.testing.assert_allclose(nlls, slow, rtol=1e-6)
    assert perplexity(nlls).value == pytest.approx(math.exp(slow.mean()), rel=1e-6)


def test_a_vocabulary_that_adds_bos_has_it_before_the_text_and_in_place_of_each_chunks_first_token(
    bos_model: Path, english: Path, load: Callable[[Path], Model]
) -> None:
    model = load(bos_model)
    chunks = corpus_chunks(model, english, 64, 2)
    assert chunks[0, 0] == 0 and chunks[1, 0] != 0
    replaced = chunks.copy()
    replaced[:, 0] = 0
    for as_it_is, with_bos in zip(chunk_nlls(model, chunks, 1), chunk_nlls(model, replaced, 1), strict=True):
        assert np.array_equal(as_it_is, with_bos)


def test_chunks_do_not_know_of_each_other(
    demo_model: Path, english: Path, load: Callable[[Path], Model]
) -> None:
    model = load(demo_model)
    chunks = corpus_chunks(model, english, 128, 4)
    forwards = list(chunk_nlls(model, chunks, 1))
    backwards = list(chunk_nlls(model, chunks[::-1], 1))
    assert all(np.array_equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_a_context_longer_than_the_models_own_is_refused(
    demo_model: Path, english: Path, load: Callable[[Path], Model]
) -> None:
    model = load(demo_model)
    chunks = corpus_chunks(model, english, 1025, 2)
    with pytest.raises(EngineError, match=r"context of 1025 tokens is longer than the model's own of 1024"):
        next(chunk_nlls(model, chunks, 1))


# The corpus


def test_the_text_is_cut_into_full_chunks_and_the_rest_is_left(
    demo_model: Path, english: Path, tmp_path: Path, load: Callable[[Path], Model]
) -> None:
    model = load(demo_model)
    path = tmp_path / "text.txt"
    path.write_text(english.read_text()[:5000])
    vocab = llama_cpp.llama_model_get_vocab(model)
    whole = tokenize(vocab, path.read_text().removesuffix("\n"))
    chunks = corpus_chunks(model, path, 100, 1000)
    assert chunks.shape == (len(whole) // 100, 100)
    assert np.array_equal(chunks.reshape(-1), whole[: chunks.size])


@pytest.mark.parametrize("n_ctx, chunks", [(64, 1), (64, 2), (500, 3), (512, 20)])
def test_a_prefix_gives_the_tokens_that_the_whole_text_gives(
    n_ctx: int, chunks: int, demo_model: Path, english: Path, load: Callable[[Path], Model]
) -> None:
    model = load(demo_model)
    vocab = llama_cpp.llama_model_get_vocab(model)
    whole = tokenize(vocab, read_corpus(english))
    cut = corpus_chunks(model, english, n_ctx, chunks)
    assert np.array_equal(cut.reshape(-1), whole[: n_ctx * chunks])


@pytest.mark.reference
def test_a_prefix_of_wikitext_gives_the_tokens_that_all_of_it_gives(
    smollm2: Path, wikitext: Path, load: Callable[[Path], Model]
) -> None:
    model = load(smollm2)
    whole = tokenize(llama_cpp.llama_model_get_vocab(model), read_corpus(wikitext))
    for n_ctx, chunks in [(8, 2), (512, 1), (512, 5), (512, 200), (2048, 3)]:
        cut = corpus_chunks(model, wikitext, n_ctx, chunks)
        assert np.array_equal(cut.reshape(-1), whole[: n_ctx * chunks])


@pytest.mark.reference
def test_the_perplexity_of_smollm2_is_a_slow_references(
    smollm2: Path, wikitext: Path, load: Callable[[Path], Model]
) -> None:
    model = load(smollm2)
    nlls = np.array(list(chunk_nlls(model, corpus_chunks(model, wikitext, 256, 2), 1)))
    slow = np.array(slow_nlls(smollm2, wikitext, 256, 2))
    assert f"{perplexity(nlls).value:.4f}" == f"{math.exp(slow.mean()):.4f}"


def test_spread_chunks_are_the_texts_own_in_an_order_that_halves_the_gaps(
    tiny_model: Path, tiny_corpus: Path, load: Callable[[Path], Model]
) -> None:
    model = load(tiny_model)
    in_order = corpus_chunks(model, tiny_corpus, 128, 1_000_000)
    spread = corpus_chunks(model, tiny_corpus, 128, 1_000_000, spread=True)
    order = spread_order(len(in_order))
    assert sorted(order) == list(range(len(in_order))) and len(order) > 100
    assert np.array_equal(spread, in_order[order])
    assert np.array_equal(corpus_chunks(model, tiny_corpus, 128, 5, spread=True), spread[:5])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100, 601])
def test_any_beginning_of_the_spread_order_reaches_all_over_the_text(count: int) -> None:
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    for seen in range(1, count + 1):
        places = sorted(order[:seen])
        gaps = np.diff([*places, count])
        assert gaps.max() <= 2 * count / seen + 2


@pytest.mark.parametrize("size", [0, 1, 40, 127])
def test_a_text_that_does_not_fill_two_chunks_is_too_short(
    size: int, tiny_model: Path, tmp_path: Path, load: Callable[[Path], Model]
) -> None:
    path = tmp_path / "short.txt"
    path.write_text("x" * size)
    with pytest.raises(EngineError, match=rf"too short: {size} tokens, and two chunks of 64 need 128"):
        corpus_chunks(load(tiny_model), path, 64, 1)


def test_one_newline_at_the_end_is_dropped_as_llama_perplexity_does(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"a\r\n\nb\n\n")
    assert read_corpus(path) == "a\r\n\nb\n"


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"\x89PNG\r\n\x1a\n" * 9, "is not text: byte 0 is not UTF-8"),
        ("café ".encode("latin-1") * 9, "is not text: byte 3 is not UTF-8"),
        (b"text\0text", "is not text: it has zero bytes"),
    ],
    ids=["binary", "Latin-1", "zero bytes"],
)
def test_what_is_not_utf8_text_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=sentence):
        read_corpus(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is a directory"):
        read_corpus(tmp_path)
    with pytest.raises(EngineError, match=r"none\.txt does not exist"):
        read_corpus(tmp_path / "none.txt")
    with pytest.raises(EngineError, match="is not a file but a pipe or device"):
        read_corpus(Path("/dev/zero"))
