"""What flows through the base model: how large each weight's inputs are, and how far each block turns them.

One forward pass with a callback that reads the inputs of every matrix product, as llama-imatrix does, the
tokens that are looked up in embeddings, and the hidden states between the blocks.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.errors import EngineError, LoadFailed
from lqtui.llama.forward import BATCH, Decoder
from lqtui.llama.gguf import BaseModel
from lqtui.llama.graph import Tensor, layout_holds
from lqtui.llama.runtime import context, loaded_model, offloads
from lqtui.measure.importance import token_cosines

_BLOCK_OUTPUT = re.compile(r"l_out-(\d+)")
FEWEST_TOKENS = 16
"""Products of fewer tokens are left out, as llama-imatrix leaves them out."""
_F32 = 0
"""GGML_TYPE_F32."""


@dataclass
class Moments:
    """Second moments of a weight's inputs x, over the tokens that a pass has seen.

    `squares` are sums of x², shape (matrices, columns): a weight of experts has a matrix for each expert.
    `counts`, shape (matrices,), are the inputs that each matrix was given. With them they are what
    llama-imatrix writes: `squares` as `<name>.in_sum2`, and as `<name>.counts` the counts of experts or, of
    any other weight, the one count that its matrices share.
    """

    squares: NDArray[np.float64]
    counts: NDArray[np.int64]
    tokens: int = 0
    of_experts: bool = False

    @property
    def per_token(self) -> NDArray[np.float64]:
        """E[x²] of each input over all tokens, shape (matrices, columns).

        For a token that is not sent to an expert, the expert's inputs count as zeros.
        """
        return self.squares / self.tokens


@dataclass
class Activations:
    """What a pass has seen.

    `moments` are by the name of a weight that is a factor in matrix products. `lookups` tell how often each
    row of a weight was looked up, shape (rows,), by the weight's name. `cosines` are, by block, the mean
    cosine similarity over tokens between what the block is given and what it gives; an architecture whose
    hidden states cannot be told has none.
    """

    moments: dict[str, Moments]
    lookups: dict[str, NDArray[np.int64]]
    cosines: dict[int, float]


def observe(
    base: BaseModel,
    chunks: NDArray[np.int32],
    threads: int,
    gpu_layers: int,
    on_load: Callable[[], None],
    on_chunk: Callable[[int, int], None],
    on_moments: Callable[[int, Mapping[str, Moments]], None] = lambda done, moments: None,
) -> Activations:
    """Run chunks, shape (chunks, n_ctx), through the base model and look at what flows.

    All tokens are outputs, or the last block and the head would see a part of them only.

    Args:
        base: The model.
        chunks: As `corpus_chunks` cuts them.
        threads: For computing.
        gpu_layers: How many layers to offload, -1 for all; fewer where memory does not suffice.
        on_load: Told that the model is about to be loaded.
        on_chunk: Told after each chunk of how many are done, and how many there are.
        on_moments: Shown what is summed up by then, which it must not keep.

    Raises:
        EngineError: The model cannot be run, or gives infinite or undefined numbers.
    """
    if not layout_holds():
        raise EngineError(
            "lqtui cannot look into this build of llama.cpp, which lays its tensors out in another way; "
            "reinstall llama-cpp-python 0.3.36 or newer"
        )
    n_ctx = chunks.shape[1]
    for layers in offloads(gpu_layers, base.shape.block_count):
        on_load()
        watch = _Watch()
        try:
            with (
                loaded_model([base.first_part], layers) as model,
                context(model, n_ctx, min(n_ctx, BATCH), threads, watch) as made,
                Decoder(model, made) as decoder,
            ):
                for number, chunk in enumerate(chunks, start=1):
                    for piece in decoder.pieces(chunk):
                        watch.begin(len(piece.tokens))
                        decoder.decode(piece._replace(first_output=0))
                        watch.end()
                    on_moments(number, watch.moments)
                    on_chunk(number, len(chunks))
            return watch.seen
        except LoadFailed as error:
            if not layers:
                raise
            print(f"{error}; trying with fewer layers on the GPU", file=sys.stderr)
    raise AssertionError("offloads ends with none")


@dataclass
class _Watch:
    """llama.cpp's callback that collects what a context's decodes compute; keep it as long as the context."""

    moments: dict[str, Moments] = field(default_factory=dict)
    lookups: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    _states: _HiddenStates = field(default_factory=lambda: _HiddenStates())
    _sums: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    _met: dict[str, None] = field(default_factory=dict)
    _tokens: int = 0
    _is_due: bool = False
    _error: BaseException | None = None

    @property
    def seen(self) -> Activations:
        cosines = {block: math.fsum(parts) / count for block, (parts, count) in self._states.cosines.items()}
        return Activations(self.moments, self.lookups, cosines)

    def begin(self, tokens: int) -> None:
        """Get ready for a decode of so many tokens."""
        self._tokens, self._sums, self._met = tokens, {}, {}
        self._states.begin()

    def end(self) -> None:
        """Check a decode: an error cannot pass through native code, and is raised here."""
        if self._error is not None:
            raise self._error
        for name in self._met:
            moments = self.moments[name]
            moments.tokens += self._tokens
            if not np.isfinite(moments.squares).all():
                raise EngineError(
                    f"the inputs of {name} are infinite or undefined on this text: the model is broken; "
                    f"download it again"
                )

    def __call__(self, pointer: int, ask: bool, _: object) -> bool:
        """Called before each node with `ask`, and after those for which that returned True without."""
        if self._error is None:
            try:
                node = Tensor.from_address(pointer)
                op = native.op_name(node.op)
                if ask:
                    self._is_due = _reads_weight(node, op)
                    if self._is_due and op == "MUL_MAT" and node.src[1] in self._sums:
                        self._collect(node, op)  # at once: llama.cpp need not stop here for what is known
                        self._is_due = False
                    return self._states.wants(pointer, node, op) or self._is_due
                self._states.see(pointer, node)
                if self._is_due:
                    self._look_up(node) if op == "GET_ROWS" else self._collect(node, op)
                return True
            except BaseException as error:  # a stop of the process, too
                self._error = error
        return ask  # compute this node and then no more

    def _look_up(self, node: Tensor) -> None:
        weight = Tensor.from_address(node.src[0])
        found = np.bincount(_values(node.src[1], np.int32).reshape(-1), minlength=weight.ne[1])
        name = _weight_name(weight)
        self.lookups[name] = self.lookups.get(name, 0) + found

    def _collect(self, node: Tensor, op: str) -> None:
        weight = Tensor.from_address(node.src[0])
        name, matrices = _weight_name(weight), weight.ne[2] * weight.ne[3]
        self._met[name] = None
        moments = self.moments.get(name)
        if moments is None:
            empty = np.zeros((matrices, weight.ne[0]))
            counts = np.zeros(matrices, np.int64)
            moments = self.moments[name] = Moments(empty, counts, of_experts=op == "MUL_MAT_ID")
        if op == "MUL_MAT_ID":
            _add_sent(moments, _values(node.src[1], np.float32)[0], _values(node.src[2], np.int32)[0, 0])
        else:
            _add_shared(moments, weight, Tensor.from_address(node.src[1]), self._sums_of(node.src[1]))

    def _sums_of(self, pointer: int) -> NDArray[np.float64]:
        """Sums of squares over tokens, shape (n3, n2, columns); several weights read the same inputs."""
        if pointer not in self._sums:
            inputs = _values(pointer, np.float32)
            self._sums[pointer] = np.einsum("abij,abij->abj", inputs, inputs).astype(np.float64)
        return self._sums[pointer]


class _HiddenStates:
    """Follows the hidden states of a decode from block to block.

    What a block gives is named `l_out-K`. What the first one is given has many names, but there is one thing
    that it alone does: it is computed before any weight of a block is read, and added to later.
    """

    def __init__(self) -> None:
        self.cosines: dict[int, tuple[list[float], int]] = {}
        """By block the sums of the cosines of each decode's tokens, and the number of tokens."""
        self.begin()

    def begin(self) -> None:
        """Forget the decode before."""
        self._early: dict[int, NDArray[np.float32]] = {}
        self._is_early = True
        self._given: NDArray[np.float32] | None = None

    def wants(self, pointer: int, node: Tensor, op: str) -> bool:
        """Whether a node's values are needed that is about to be computed."""
        sources = [source for source in node.src if source]
        if self._is_early:
            self._is_early = not any(_name(source).startswith("blk.") for source in sources)
        elif op == "ADD" and self._early:
            residual = next((self._early[source] for source in sources if source in self._early), None)
            if residual is not None:
                self._given, self._early = residual, {}
        return (self._is_early and node.type == _F32) or bool(_BLOCK_OUTPUT.fullmatch(_name(pointer)))

    def see(self, pointer: int, node: Tensor) -> None:
        """Take a node's values where they are hidden states."""
        if self._is_early and node.type == _F32:
            self._early[pointer] = _values(pointer, np.float32)
        found = _BLOCK_OUTPUT.fullmatch(_name(pointer))
        if found:
            given, self._given = self._given, _values(pointer, np.float32)
            if given is not None and given.shape == self._given.shape:
                width = given.shape[-1]
                cosines = token_cosines(given.reshape(-1, width), self._given.reshape(-1, width))
                sums, count = self.cosines.get(int(found[1]), ([], 0))
                self.cosines[int(found[1])] = ([*sums, float(cosines.sum())], count + len(cosines))


def _reads_weight(node: Tensor, op: str) -> bool:
    """Whether a node is one whose inputs are collected: llama-imatrix takes the same products."""
    if op not in ("MUL_MAT", "MUL_MAT_ID", "GET_ROWS") or not _name(node.src[0]).endswith(".weight"):
        return False
    if op == "MUL_MAT":
        inputs = Tensor.from_address(node.src[1])
        return bool(inputs.type == _F32 and inputs.ne[1] >= FEWEST_TOKENS)
    return True


def _add_sent(moments: Moments, inputs: NDArray[np.float32], experts: NDArray[np.int32]) -> None:
    """Add the inputs of experts, shape (tokens, 1 or used, columns), by the experts, shape (tokens, used)."""
    for expert in np.unique(experts):
        tokens, places = np.nonzero(experts == expert)
        sent = inputs[tokens, places % inputs.shape[1]]
        moments.squares[expert] += np.einsum("ij,ij->j", sent, sent)
        moments.counts[expert] += len(tokens)


def _add_shared(moments: Moments, weight: Tensor, inputs: Tensor, sums: NDArray[np.float64]) -> None:
    """Add inputs' sums of squares, shape (n3, n2, columns): the weight's matrices take turns with them."""
    for i3, i2 in np.ndindex(sums.shape[:2]):
        matrix = (i3 % weight.ne[3]) * weight.ne[2] + i2 % weight.ne[2]
        moments.squares[matrix] += sums[i3, i2]
    moments.counts += inputs.ne[1] * inputs.ne[2] * inputs.ne[3] // len(moments.counts)


def _name(pointer: int) -> str:
    """A tensor's name, without what a copy of it on another device has around it: `CUDA0#blk.0…#0`."""
    return _weight_name(Tensor.from_address(pointer))


def _weight_name(tensor: Tensor) -> str:
    name: str = tensor.name.decode("utf-8", "replace")
    return name.split("#")[1] if "#" in name else name


def _values(pointer: int, dtype: type[Any]) -> NDArray[Any]:
    """A tensor's values, of four dimensions with the columns last, wherever and however they lie."""
    tensor = Tensor.from_address(pointer)
    raw = np.empty(native.ggml().ggml_nbytes(pointer), np.uint8)
    native.ggml().ggml_backend_tensor_get(pointer, raw.ctypes.data, 0, raw.nbytes)
    return np.ndarray(tuple(tensor.ne)[::-1], dtype, raw.data, 0, tuple(tensor.nb)[::-1])
