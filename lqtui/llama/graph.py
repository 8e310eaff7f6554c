"""The graph that llama.cpp computes in one decode: what it reads, and how to change it while it runs.

llama.cpp calls back before it computes each node. That suffices to measure many recipes with one loaded
model, and with nothing copied: a node that multiplies by a weight can be pointed at the same weight in
another type, and the nodes of the blocks before the first one that differs can be left out, their result
written in their place. Nothing here knows an architecture: what must be computed follows from which node
reads which.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native

Result = TypeVar("Result")

_BLOCK_OUTPUT = re.compile(r"l_out-\d+")
_FIRST_NORM = "norm-0"
_NO_OP = 0
"""GGML_OP_NONE: every backend passes over such a node."""
_MAX_SOURCES = 10
"""GGML_MAX_SRC."""


class Tensor(ctypes.Structure):
    """`struct ggml_tensor` of ggml.h; `layout_holds` tells whether this build's is the same."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * _MAX_SOURCES),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


@dataclass(frozen=True)
class WeightUse:
    """A node that reads a weight: where in the node, which weight, and by which operation."""

    slot: int
    name: str
    op: int


class LeftOut(NamedTuple):
    """Nodes that a decode need not compute, and those of them that are given another node's value instead."""

    nodes: frozenset[int]
    passed: Mapping[int, int]
    """For the result of each block that is pruned, the node whose value it takes: what the block is given."""


@dataclass(frozen=True)
class Graph:
    """The nodes of one decode in the order in which they are computed.

    `sources[i]` are the nodes that node i reads. `boundaries` are the nodes that hold the hidden states after
    each block, in order: a restart at depth d computes only what comes after boundary d - 1.
    """

    names: tuple[str, ...]
    ops: tuple[int, ...]
    sources: tuple[tuple[int, ...], ...]
    weights: Mapping[int, WeightUse]
    boundaries: tuple[int, ...]
    _left_out: dict[tuple[int, frozenset[int]], LeftOut] = field(
        default_factory=dict, compare=False, repr=False
    )

    def depth_of(self, node: int) -> int:
        """How many boundaries come before a node: restarts down to this depth still compute it."""
        return sum(boundary < node for boundary in self.boundaries)

    def left_out(self, depth: int, pruned: frozenset[int] = frozenset()) -> LeftOut:
        """What a restart at a depth, and the pruning of blocks behind it, leave out."""
        if (depth, pruned) not in self._left_out:
            self._left_out[depth, pruned] = self._without(depth, pruned)
        return self._left_out[depth, pruned]

    def _without(self, depth: int, pruned: frozenset[int]) -> LeftOut:
        start = self.boundaries[depth - 1] if depth else -1
        passed: dict[int, int] = {}
        unwanted = set(range(start + 1))
        for block in sorted(pruned):
            if block >= depth:
                before = self.boundaries[block - 1] if block else self._entry()
                passed[self.boundaries[block]] = before
                unwanted.update(range(before + 1, self.boundaries[block] + 1))
        needed = set(range(len(self.names))) - unwanted
        waiting = list(needed)
        while waiting:
            for source in self.sources[waiting.pop()]:
                if source not in needed and source != start and source not in passed:
                    needed.add(source)
                    waiting.append(source)
        return LeftOut(frozenset(range(len(self.names))) - needed, passed)

    def _entry(self) -> int:
        """The node that the first block is given: the one that its norm reads."""
        if _FIRST_NORM in self.names:
            for source in self.sources[self.names.index(_FIRST_NORM)]:
                return source
        raise GraphMismatch("it cannot be told what the first block is given")


@dataclass(frozen=True)
class Changes:
    """What one decode is to do otherwise than the model that was loaded.

    `weights` are pointers to tensors, by the node that is to read them. `depth` and `state` are the restart:
    the hidden states that the boundary before it holds. `capture` names the depths whose hidden states are
    wanted. `pruned` blocks hand on what they are given, as if the model lacked them.
    """

    weights: Mapping[int, int] = field(default_factory=dict)
    depth: int = 0
    state: NDArray[np.float32] | None = None
    capture: Collection[int] = ()
    pruned: frozenset[int] = frozenset()


class GraphMismatch(Exception):
    """A decode computed other nodes than those that were recorded: its changes went astray."""


class Hook:
    """llama.cpp's callback for one context: it records a decode's graph, or changes it.

    Keep it as long as the context.
    """

    def __init__(self) -> None:
        self._recorded: list[int] = []
        self._graph: Graph | None = None
        self._changes = Changes()
        self._left_out = LeftOut(frozenset(), {})
        self._givers: frozenset[int] = frozenset()
        self._given: NDArray[np.float32] | None = None
        self._inject = -1
        self._capture: dict[int, int] = {}
        self._captured: dict[int, NDArray[np.float32]] = {}
        self._node = 0
        self._error: BaseException | None = None

    def record(self, decode: Callable[[], Result]) -> tuple[Result, Graph, dict[int, int]]:
        """Decode as it is; tell the graph, and where the weights lie, by the node that reads them."""
        self._graph, self._recorded, self._error = None, [], None
        result = decode()
        self._raise()
        return result, *_read_graph(self._recorded)

    def change(
        self, graph: Graph, changes: Changes, decode: Callable[[], Result]
    ) -> tuple[Result, dict[int, NDArray[np.float32]]]:
        """Decode with changes; tell the hidden states that were to be captured, float32, by depth.

        Raises GraphMismatch where it was another graph that llama.cpp computed.
        """
        self._graph, self._changes, self._node, self._error = graph, changes, 0, None
        self._left_out = graph.left_out(changes.depth, changes.pruned)
        self._givers = frozenset(self._left_out.passed.values())
        self._inject = graph.boundaries[changes.depth - 1] if changes.depth else -1
        self._capture = {graph.boundaries[depth - 1]: depth for depth in changes.capture}
        self._captured = {}
        result = decode()
        self._raise()
        if self._node != len(graph.names):
            raise GraphMismatch(f"{self._node} nodes computed, {len(graph.names)} recorded")
        return result, self._captured

    def __call__(self, pointer: int, ask: bool, _: object) -> bool:
        """Called before each node with `ask`, and after those for which that returned True without.

        An error cannot pass through native code: it ends the decode, and is raised behind it.
        """
        try:
            if self._error is None and self._graph is None:
                self._recorded.append(pointer)
                return False
            if self._error is None and self._graph is not None:
                return self._before(pointer, self._graph) if ask else self._after(pointer)
        except BaseException as error:  # a stop of the process, too
            self._error = error
        return ask  # compute this node and then no more

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _before(self, pointer: int, graph: Graph) -> bool:
        node, self._node = self._node, self._node + 1
        tensor = Tensor.from_address(pointer)
        if node >= len(graph.ops) or tensor.op not in (graph.ops[node], _NO_OP):
            raise GraphMismatch(f"node {node} is {tensor.name!r}, which was not recorded")
        if node in self._left_out.nodes:
            tensor.op = _NO_OP
        else:
            tensor.op = graph.ops[node]  # llama.cpp keeps a graph for decodes of the same shape
            weight = self._changes.weights.get(node)
            if weight is not None:
                if tensor.name.decode("utf-8", "replace") != graph.names[node]:
                    raise GraphMismatch(f"node {node} is {tensor.name!r}, not {graph.names[node]!r}")
                tensor.src[graph.weights[node].slot] = weight
        is_set = node == self._inject or node in self._left_out.passed
        return is_set or node in self._givers or node in self._capture

    def _after(self, pointer: int) -> bool:
        node = self._node - 1
        if node == self._inject:
            assert self._changes.state is not None
            _write(pointer, self._changes.state)
        elif node in self._left_out.passed:
            assert self._given is not None
            # The last block gives the rows alone that logits are wanted of, and these are the last ones.
            _write(pointer, self._given[-(native.ggml().ggml_nbytes(pointer) // 4) :])
        if node in self._givers:
            self._given = _read(pointer)
        if node in self._capture:
            self._captured[self._capture[node]] = _read(pointer)
        return True


def _write(pointer: int, values: NDArray[np.float32]) -> None:
    size = native.ggml().ggml_nbytes(pointer)
    if size != values.nbytes:
        raise GraphMismatch(f"{values.nbytes} bytes of hidden states for a node of {size}")
    native.ggml().ggml_backend_tensor_set(pointer, values.ctypes.data, 0, size)


def _read(pointer: int) -> NDArray[np.float32]:
    size = native.ggml().ggml_nbytes(pointer)
    values = np.empty(size // 4, np.float32)
    native.ggml().ggml_backend_tensor_get(pointer, values.ctypes.data, 0, size)
    return values


def _read_graph(pointers: Sequence[int]) -> tuple[Graph, dict[int, int]]:
    """The recorded nodes as a Graph, and where the weights lie that they read."""
    places = {pointer: node for node, pointer in enumerate(pointers)}
    names, ops, sources = [], [], []
    weights: dict[int, WeightUse] = {}
    found: dict[int, int] = {}
    for node, pointer in enumerate(pointers):
        tensor = Tensor.from_address(pointer)
        names.append(tensor.name.decode("utf-8", "replace"))
        ops.append(tensor.op)
        read = [source for source in (*tensor.src, tensor.view_src) if source]
        sources.append(tuple(places[source] for source in read if source in places))
        for slot, source in enumerate(tensor.src):
            name = _weight_name(source) if source and source not in places else None
            if name is not None:
                weights[node] = WeightUse(slot, name, tensor.op)
                found[node] = source
    boundaries = tuple(node for node, name in enumerate(names) if _BLOCK_OUTPUT.fullmatch(name))
    return Graph(tuple(names), tuple(ops), tuple(sources), weights, boundaries), found


def _weight_name(pointer: int) -> str | None:
    """The name of the model's weight that a pointer leads to; None where it is something else."""
    name: str = Tensor.from_address(pointer).name.decode("utf-8", "replace")
    return name if name.endswith(".weight") else None


@lru_cache(maxsize=1)
def layout_holds() -> bool:
    """Whether this build of ggml lays its tensors out as `Tensor` does: asked of tensors that ggml makes."""
    lib = native.ggml()
    arena = ctypes.create_string_buffer(1 << 16)
    made = lib.ggml_init(native.GgmlInitParams(len(arena), ctypes.addressof(arena), no_alloc=True))
    try:
        a, b = lib.ggml_new_tensor_2d(made, 0, 3, 5), lib.ggml_new_tensor_2d(made, 0, 3, 5)
        lib.ggml_set_name(a, b"a.weight")
        total = lib.ggml_add(made, a, b)
        lib.ggml_set_name(total, b"total")
        view = lib.ggml_view_1d(made, total, 4, 8)
        seen, part, weight = (Tensor.from_address(pointer) for pointer in (total, view, a))
        return bool(
            lib.ggml_op_name(seen.op) == b"ADD"
            and lib.ggml_op_name(weight.op) == b"NONE"
            and weight.op == _NO_OP
            and (seen.src[0], seen.src[1], seen.src[2]) == (a, b, None)
            and (seen.ne[0], seen.ne[1], seen.nb[1]) == (3, 5, 12)
            and (part.view_src, part.view_offs) == (total, 8)
            and (seen.name, weight.name) == (b"total", b"a.weight")
        )
    finally:
        lib.ggml_free(made)
