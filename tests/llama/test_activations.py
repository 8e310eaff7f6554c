"""What flows through a model: the sums that llama-imatrix collects, and the hidden states between blocks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import add_byte_vocabulary, llama_tensors, write_file, write_tiny_gemma3n, write_tiny_llama
from numpy.typing import NDArray
from runnable_models import write_runnable

from lqtui.llama import activations, runtime
from lqtui.llama.activations import Activations, observe
from lqtui.llama.corpus import corpus_chunks
from lqtui.llama.errors import EngineError, LoadFailed
from lqtui.llama.evaluator import opened
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import Changes, Hook

pytestmark = pytest.mark.usefixtures("engine")

ROUNDING = 1e-5
"""llama-imatrix sums in 32 bits, and so the last of seven digits is not its own."""


def write_tiny_olmo2(path: Path) -> Path:
    """A random model whose blocks norm what they have computed, and not what they are given."""
    writer = gguf.GGUFWriter(path, "olmo2")
    vocab = add_byte_vocabulary(writer)
    for key, value in {
        "block_count": 3,
        "context_length": 2048,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 4,
    }.items():
        writer.add_uint32(f"olmo2.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    random = np.random.default_rng(5)
    shapes = llama_tensors(3, 64, 96, 4, 4, vocab, tied=False)
    norms = ("attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm")
    shapes = {name: shape for name, shape in shapes.items() if "attn_norm" not in name}
    shapes = {name: shape for name, shape in shapes.items() if "ffn_norm" not in name}
    shapes |= {f"blk.{block}.{norm}.weight": (64,) for block in range(3) for norm in norms}
    for name, shape in shapes.items():
        weights = random.standard_normal(shape) * 0.6 / np.sqrt(shape[-1])
        writer.add_tensor(name, weights.astype(np.float32 if len(shape) == 1 else np.float16))
    write_file(writer)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "experts": lambda path: write_tiny_llama(path, experts=4),
    "untied": lambda path: write_tiny_llama(path, tied=False),
    "split": lambda path: write_tiny_llama(path, tensors_per_part=10),
    "gemma3n": write_tiny_gemma3n,
    "olmo2": write_tiny_olmo2,
    **{
        kind: lambda path, kind=kind: write_runnable(path.parent, kind)
        for kind in ("gpt2", "qwen2", "gemma3 with sliding windows", "lfm2, half of it recurrent")
    },
    "deepseek2": lambda path: write_runnable(path.parent, "deepseek2 with latent attention"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {"demo": demo_model}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = WRITERS[name](folder / f"{name}.gguf")
        return made[name]

    return get


def chunks_of(path: Path, text: Path, n_ctx: int, count: int) -> NDArray[np.int32]:
    with runtime.loaded_model([path], 0, vocab_only=True) as vocabulary:
        return corpus_chunks(vocabulary, text, n_ctx, count)


def observed(path: Path, chunks: NDArray[np.int32], gpu_layers: int = 0) -> Activations:
    with BaseModel(path) as base:
        return observe(base, chunks, 1, gpu_layers, lambda: None, lambda done, total: None)


def weights_of(path: Path, name: str) -> NDArray[np.float64]:
    tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
    return tensor.data.astype(np.float64)


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.mean((a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))))


# Second moments


@pytest.mark.reference
@pytest.mark.parametrize(
    "name, n_ctx, chunks",
    [
        ("demo", 256, 3),
        ("demo", 512, 2),
        ("experts", 128, 3),
        ("experts", 777, 2),
        ("gemma3n", 128, 2),
        ("deepseek2", 128, 2),
        ("lfm2, half of it recurrent", 128, 2),
        ("gpt2", 128, 2),
    ],
)
def test_sums_and_counts_are_those_of_stock_llama_imatrix(
    name: str,
    n_ctx: int,
    chunks: int,
    model: Callable[[str], Path],
    english: Path,
    llama_tools: Path,
    tmp_path: Path,
) -> None:
    path, out = model(name), tmp_path / "imatrix.gguf"
    command = [llama_tools / "llama-imatrix", "-m", path, "-f", english, "-o", out, "--chunks", str(chunks)]
    sizes = ["-c", str(n_ctx), "-b", str(min(n_ctx, 512)), "-t", "1", "-ngl", "0"]
    subprocess.run([*command, *sizes, "--no-ppl", "--process-output"], check=True, capture_output=True)
    seen = observed(path, chunks_of(path, english, n_ctx, chunks))
    stock = {tensor.name: tensor.data for tensor in gguf.GGUFReader(out).tensors}
    names = {name.removesuffix(".counts") for name in stock if name.endswith(".counts")}
    for weight in names:
        moments, sums = seen.moments[weight], stock[f"{weight}.in_sum2"]
        assert sums.reshape(moments.squares.shape) == pytest.approx(moments.squares, rel=ROUNDING), weight
        counts = stock[f"{weight}.counts"].reshape(-1)
        assert np.array_equal(np.broadcast_to(counts, moments.counts.shape), moments.counts)
    beyond = {weight for weight in seen.moments if not weight.startswith("blk.")} - names
    assert set(seen.moments) - names == beyond  # llama-imatrix passes over what is outside the blocks
    assert len(names) > 10


def test_the_first_blocks_inputs_are_the_normed_embeddings_of_the_tokens(
    tiny_model: Path, tiny_corpus: Path
) -> None:
    chunks = chunks_of(tiny_model, tiny_corpus, 128, 3)
    rows = weights_of(tiny_model, "token_embd.weight")[chunks.reshape(-1)]
    squares = np.square(rows) / (np.square(rows).mean(axis=1, keepdims=True) + 1e-5)
    moments = observed(tiny_model, chunks).moments["blk.0.attn_q.weight"]
    assert moments.squares[0] == pytest.approx(squares.sum(axis=0), rel=1e-4)
    assert moments.per_token[0] == pytest.approx(squares.mean(axis=0), rel=1e-4)
    assert moments.counts.tolist() == [3 * 128]


def test_each_expert_has_the_tokens_that_were_sent_to_it(
    model: Callable[[str], Path], tiny_corpus: Path
) -> None:
    path = model("experts")
    seen = observed(path, chunks_of(path, tiny_corpus, 128, 3))
    up, down = (seen.moments[f"blk.1.ffn_{role}_exps.weight"] for role in ("up", "down"))
    assert up.counts.sum() == 2 * 3 * 128  # two of the four are used
    assert np.array_equal(up.counts, down.counts) and len(set(up.counts)) > 1
    # Each input of the block's router goes to two experts.
    router = seen.moments["blk.1.ffn_gate_inp.weight"]
    assert up.squares.sum(axis=0) == pytest.approx(2 * router.squares[0], rel=1e-5)
    assert up.per_token.sum(axis=0) == pytest.approx(2 * router.per_token[0], rel=1e-5)


def test_a_chunk_of_several_decodes_is_seen_to_the_last_token(tiny_model: Path, tiny_corpus: Path) -> None:
    seen = observed(tiny_model, chunks_of(tiny_model, tiny_corpus, 1300, 2))
    assert {moments.counts.item() for moments in seen.moments.values()} == {2600}
    assert seen.lookups["token_embd.weight"].sum() == 2600


def test_a_last_decode_of_few_tokens_is_left_out_as_llama_imatrix_leaves_it_out(
    tiny_model: Path, tiny_corpus: Path
) -> None:
    chunks = chunks_of(tiny_model, tiny_corpus, 515, 2)
    seen, whole = observed(tiny_model, chunks), observed(tiny_model, chunks[:, :512])
    for name, moments in seen.moments.items():
        assert np.array_equal(moments.squares, whole.moments[name].squares)
        assert moments.tokens == moments.counts.item() == 2 * 512


# Lookups


def test_the_tokens_of_the_text_are_counted_where_their_embeddings_are_looked_up(
    demo_model: Path, english: Path
) -> None:
    chunks = chunks_of(demo_model, english, 256, 2)
    counts = observed(demo_model, chunks).lookups["token_embd.weight"]
    assert np.array_equal(counts, np.bincount(chunks.reshape(-1), minlength=len(counts)))


def test_every_embedding_of_the_token_counts_its_lookups(
    model: Callable[[str], Path], tiny_corpus: Path
) -> None:
    path = model("gemma3n")
    chunks = chunks_of(path, tiny_corpus, 128, 2)
    lookups = observed(path, chunks).lookups
    assert sorted(lookups) == ["per_layer_token_embd.weight", "token_embd.weight"]
    assert np.array_equal(lookups["per_layer_token_embd.weight"], lookups["token_embd.weight"])


# Hidden states


@pytest.mark.parametrize("name", ["demo", "experts", "olmo2", *list(WRITERS)[-5:]])
def test_cosines_are_those_of_the_hidden_states_before_and_after_each_block(
    name: str, model: Callable[[str], Path], english: Path
) -> None:
    path, hook, n_ctx = model(name), Hook(), 128
    chunk = chunks_of(path, english, n_ctx, 1)
    states = [weights_of(path, "token_embd.weight")[chunk[0]]]
    if name == "gpt2":
        states[0] += weights_of(path, "position_embd.weight")[:n_ctx]
    with opened([path], 0, n_ctx, 1, hook) as decoder:
        piece = decoder.pieces(chunk[0])[0]._replace(first_output=0)
        _, graph, _ = hook.record(lambda: decoder.decode(piece))
        depths = range(1, len(graph.boundaries) + 1)
        _, captured = hook.change(graph, Changes(capture=depths), lambda: decoder.decode(piece))
    states += [captured[depth].reshape(n_ctx, -1) for depth in depths]
    expected = [cosine(states[block], states[block + 1]) for block in range(len(depths))]
    cosines = observed(path, chunk).cosines
    assert list(cosines) == list(range(len(depths)))
    # Of cosines near to 1 it is the rest that tells one state from another.
    turned = [1 - cosine for cosine in cosines.values()]
    assert turned == pytest.approx([1 - cosine for cosine in expected], rel=1e-3)


def test_cosines_are_averaged_over_the_tokens_of_all_chunks(tiny_model: Path, tiny_corpus: Path) -> None:
    chunks = chunks_of(tiny_model, tiny_corpus, 128, 3)
    each = [observed(tiny_model, chunk[None]).cosines for chunk in chunks]
    together = observed(tiny_model, chunks).cosines
    for block, value in together.items():
        assert value == pytest.approx(np.mean([cosines[block] for cosines in each]))


# What goes wrong


def test_progress_is_told_after_each_chunk(tiny_model: Path, tiny_corpus: Path) -> None:
    chunks = chunks_of(tiny_model, tiny_corpus, 128, 3)
    told: list[object] = []
    with BaseModel(tiny_model) as base:
        observe(base, chunks, 1, 0, lambda: told.append("loading"), lambda *of: told.append(of))
    assert told == ["loading", (1, 3), (2, 3), (3, 3)]


def test_a_model_that_gives_no_numbers_is_refused(tiny_corpus: Path, tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "broken.gguf", dtype=np.float32)
    raw = bytearray(path.read_bytes())
    with BaseModel(path) as base:
        at = bytes(raw).index(base.data("blk.2.ffn_down.weight").tobytes())
    raw[at : at + 8192] = np.full(2048, 3e38, np.float32).tobytes()  # finite, and its products are not
    path.write_bytes(raw)
    with pytest.raises(EngineError, match=r"the inputs of blk\.3\.attn_\w\.weight are infinite or undefined"):
        observed(path, chunks_of(path, tiny_corpus, 128, 2))


def test_an_error_while_llama_cpp_computes_is_raised_behind_it(
    tiny_model: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(activations, "token_cosines", stop)
    with pytest.raises(SystemExit):
        observed(tiny_model, chunks_of(tiny_model, tiny_corpus, 128, 2))


def test_a_build_that_cannot_be_looked_into_is_a_sentence(
    tiny_model: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "layout_holds", lambda: False)
    with pytest.raises(EngineError, match="cannot look into this build"):
        observed(tiny_model, chunks_of(tiny_model, tiny_corpus, 128, 2))


def test_a_gpu_without_room_for_all_layers_gets_fewer_and_in_the_end_none(
    tiny_model: Path,
    tiny_corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked: list[int] = []
    load = runtime.loaded_model

    def small_gpu(files: list[Path], gpu_layers: int) -> object:
        asked.append(gpu_layers)
        if gpu_layers:
            raise LoadFailed("no room on the GPU")
        return load(files, 0)

    chunks = chunks_of(tiny_model, tiny_corpus, 128, 2)
    expected = observed(tiny_model, chunks).cosines
    monkeypatch.setattr(activations, "offloads", lambda layers, blocks: [-1, 2, 0])
    monkeypatch.setattr(activations, "loaded_model", small_gpu)
    assert observed(tiny_model, chunks, gpu_layers=-1).cosines == expected
    assert asked == [-1, 2, 0]
    assert "fewer layers" in capfd.readouterr().err
