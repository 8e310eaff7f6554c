"""Which rows and columns the layer grid of a model has: one row per block, one column per role."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo

CELL_WIDTH = 3
_GROUP_GAP = 2

_LABELS = {
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_qkv": "qkv",
    "attn_output": "o",
    "ffn_gate": "g",
    "ffn_up": "u",
    "ffn_down": "d",
    "ffn_gate_exps": "g",
    "ffn_up_exps": "u",
    "ffn_down_exps": "d",
    "ffn_gate_up_exps": "gu",
    "ffn_gate_shexp": "g",
    "ffn_up_shexp": "u",
    "ffn_down_shexp": "d",
    "attn_gate": "g",
}
_ROW_LABELS = {"token_embd": "embd", "per_layer_token_embd": "ple", "output": "out"}
_ORDER = tuple(_LABELS)
_GROUP_ORDER = ("attn", "ssm", "ffn", "experts", "shared")


@dataclass(frozen=True)
class GridColumn:
    """A role: its short label under its group's name, where it starts in the row, and how wide it is."""

    role: str
    group: str
    label: str
    x: int
    width: int


@dataclass(frozen=True)
class GridRow:
    """A block, or a tensor outside the blocks; `cells` are tensor names, None where a role is missing.

    `names` are the tensors that a recipe can set, `all_names` those that count for its size; a row with
    no tensors has a `note` instead.
    """

    label: str
    title: str
    block: int | None
    cells: tuple[str | None, ...]
    names: tuple[str, ...]
    all_names: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class GridLayout:
    """Rows, columns, and the width of the row labels and of all cells."""

    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]
    label_width: int
    cells_width: int

    @cached_property
    def groups(self) -> tuple[tuple[str, int, int], ...]:
        """Each group's name, start and width."""
        spans: dict[str, tuple[int, int]] = {}
        for column in self.columns:
            start, _ = spans.get(column.group, (column.x, 0))
            spans[column.group] = (start, column.x + column.width - start)
        return tuple((name, start, width) for name, (start, width) in spans.items())

    @cached_property
    def block_rows(self) -> tuple[int, ...]:
        """The rows that are blocks."""
        return tuple(y for y, row in enumerate(self.rows) if row.block is not None)


def grid_layout(shape: ModelShape) -> GridLayout:
    """The grid of a model: embedding, blocks and output as rows; roles as columns, grouped."""
    tensors = quantizable_tensors(shape)
    columns = _columns([t for t in tensors if t.block is not None])
    rows = _rows(shape, tensors, columns)
    return GridLayout(
        columns=columns,
        rows=rows,
        label_width=max(3, *(len(row.label) for row in rows)) if rows else 3,
        cells_width=columns[-1].x + columns[-1].width if columns else CELL_WIDTH,
    )


def _columns(tensors: list[TensorInfo]) -> tuple[GridColumn, ...]:
    roles = sorted(dict.fromkeys(t.role for t in tensors), key=_column_order)
    columns: list[GridColumn] = []
    x = 0
    for role in roles:
        group = _group(role)
        if columns and columns[-1].group != group:
            x = max(x, _group_end(columns)) + _GROUP_GAP
        label = _LABELS.get(role) or _short(role, group)
        width = max(CELL_WIDTH, len(label) + 1)
        columns.append(GridColumn(role, group, label, x, width))
        x += width
    return tuple(columns)


def _group_end(columns: list[GridColumn]) -> int:
    """Where the last group ends, its name included."""
    group = columns[-1].group
    return min(c.x for c in columns if c.group == group) + len(group)


def _column_order(role: str) -> tuple[int, int]:
    group = _group(role)
    return (
        _GROUP_ORDER.index(group) if group in _GROUP_ORDER else len(_GROUP_ORDER),
        _ORDER.index(role) if role in _ORDER else len(_ORDER),
    )


def _group(role: str) -> str:
    if role.endswith("_exps"):
        return "experts"
    if role.endswith(("_shexp", "_chexps")):
        return "shared"
    prefix = role.split("_", 1)[0]
    return prefix if "_" in role and len(prefix) <= 8 else "other"


def _short(role: str, group: str) -> str:
    name = role.removeprefix(f"{group}_").removesuffix("_exps").removesuffix("_shexp")
    return name if len(name) <= 6 else name[:6]


def _rows(
    shape: ModelShape, tensors: tuple[TensorInfo, ...], columns: tuple[GridColumn, ...]
) -> tuple[GridRow, ...]:
    place = {column.role: x for x, column in enumerate(columns)}
    cells: list[list[str | None]] = [[None] * len(columns) for _ in range(shape.block_count)]
    sizes: list[list[str]] = [[] for _ in range(shape.block_count)]
    for tensor in tensors:
        if tensor.block is not None and tensor.block < shape.block_count:
            cells[tensor.block][place[tensor.role]] = tensor.name
    for tensor in shape.tensors:
        if tensor.block is not None and tensor.block < shape.block_count:
            sizes[tensor.block].append(tensor.name)
    blocks = [
        GridRow(
            label=str(block),
            title=f"block {block}",
            block=block,
            cells=tuple(cells[block]),
            names=tuple(name for name in cells[block] if name),
            all_names=tuple(sizes[block]),
        )
        for block in range(shape.block_count)
    ]
    outside = [t for t in tensors if t.block is None]
    before = [_single(t, len(columns)) for t in outside if not t.role.startswith("output")]
    after = [_single(t, len(columns)) for t in outside if t.role.startswith("output")]
    if shape.tied_embeddings and "token_embd.weight" in shape.by_name:
        after.append(GridRow("out", "output", None, (None,) * len(columns), (), (), note="= embd"))
    return (*before, *blocks, *after)


def _single(tensor: TensorInfo, columns: int) -> GridRow:
    cells = (tensor.name, *(None,) * (max(columns, 1) - 1))
    label = _ROW_LABELS.get(tensor.role) or tensor.role[:8]
    title = {"token_embd": "embedding", "output": "output"}.get(tensor.role, tensor.role)
    return GridRow(label, title, None, cells, (tensor.name,), (tensor.name,))
