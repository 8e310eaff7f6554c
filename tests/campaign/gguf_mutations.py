"""A GGUF file taken apart, damaged where a reader trusts it most, and written again."""

from __future__ import annotations

import copy
import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.types import type_from_number

HUGE = (
    *(0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 16, 1 << 24, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
    *(1 << 32, 1 << 40, 1 << 60, (1 << 61) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 32),
)
"""Numbers at which a reader of 32 or 64 bits, signed or not, may overflow or allocate too much."""
_TOP = 14_000
"""Bytes at the beginning of a file in which most damage is done: the header of a small model."""
_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_TEXTS = (
    *(b"", b"\0", b"a\0b", b"../../../../tmp/out", b"/etc/passwd", b"\xff\xfe", b"\xed\xa0\x80", b"%s%n"),
    *(b"x" * 63, b"x" * 64, b"x" * 70_000, b"\x1b]0;owned\x07", b"\x1b[2Jblk.0", b"[bold red]x[/]"),
    *("\u202eggug".encode(), b"a\nb", b"$(touch /tmp/pwned)", b"-rf", b" ", b"blk.-1.attn_q.weight"),
    *(b"blk.99999999999999999999.x.weight", b"blk.511.attn_q.weight", b"token_embd.weight"),
    *("\N{GRINNING FACE}".encode(), "blk.\N{ARABIC-INDIC DIGIT ONE}.attn_q.weight".encode()),
)
"""Names, and values that are texts, of somebody who means no good."""


@dataclass
class Text:
    """A text with its length, which may claim something else."""

    raw: bytes
    claimed: int | None = None

    def written(self) -> bytes:
        return struct.pack("<Q", len(self.raw) if self.claimed is None else self.claimed) + self.raw


@dataclass
class Key:
    """A key, its value's type, and the value's bytes; of an array, the type and number of its items too."""

    name: Text
    kind: int
    value: bytes
    items: tuple[int, int] | None = None

    def written(self) -> bytes:
        array = b"" if self.items is None else struct.pack("<IQ", *self.items)
        return self.name.written() + struct.pack("<I", self.kind) + array + self.value


@dataclass
class Tensor:
    """What a header says of a tensor."""

    name: Text
    extents: list[int]
    kind: int
    offset: int
    n_dims: int | None = None

    def written(self) -> bytes:
        n_dims = len(self.extents) if self.n_dims is None else self.n_dims
        numbers = [*self.extents, self.offset]
        parts = [self.name.written(), struct.pack("<I", n_dims & 0xFFFFFFFF)]
        parts += [struct.pack("<Q", extent & (1 << 64) - 1) for extent in numbers[:-1]]
        return b"".join([*parts, struct.pack("<IQ", self.kind & 0xFFFFFFFF, self.offset & (1 << 64) - 1)])


@dataclass
class Gguf:
    """A whole file."""

    keys: list[Key]
    tensors: list[Tensor]
    data: bytes
    version: int = 3
    n_tensors: int | None = None
    n_keys: int | None = None
    padding: int = 32
    magic: bytes = b"GGUF"
    order: str = field(default="<")

    def written(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_keys = len(self.keys) if self.n_keys is None else self.n_keys
        top = self.magic + struct.pack(self.order + "IQQ", self.version, n_tensors, n_keys)
        top += b"".join(each.written() for each in (*self.keys, *self.tensors))
        return top + bytes(-len(top) % self.padding) + self.data

    def key(self, name: bytes) -> Key | None:
        return next((key for key in self.keys if key.name.raw == name), None)


def parsed(raw: bytes) -> Gguf:
    """Take a good file apart."""
    version, n_tensors, n_keys = struct.unpack_from("<IQQ", raw, 4)
    at = 24

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return int(value) if form not in "fd" else 0

    def text() -> bytes:
        nonlocal at
        length = take("Q")
        at += length
        return raw[at - length : at]

    keys = []
    for _ in range(n_keys):
        name, kind = text(), take("I")
        items = (take("I"), take("Q")) if kind == _ARRAY else None
        start = at
        for _ in range(items[1] if items else 1):
            one = items[0] if items else kind
            text() if one == _STRING else take(_FORMS[one])
        keys.append(Key(Text(name), kind, raw[start:at], items))
    tensors = []
    for _ in range(n_tensors):
        name = text()
        extents = [take("Q") for _ in range(take("I"))]
        tensors.append(Tensor(Text(name), extents, take("I"), take("Q")))
    return Gguf(keys, tensors, raw[-(-at // 32) * 32 :], version)


def damaged(good: Gguf, dice: random.Random) -> tuple[str, bytes]:
    """A file with one to three things wrong, and what they are."""
    file = copy.deepcopy(good)
    chosen = [dice.choice(_CHANGES) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    for change in chosen:
        change(file, dice)
    raw = file.written()
    told = "+".join(change.__name__.strip("_") for change in chosen)
    if dice.random() < 0.3:
        damage = dice.choice(_DAMAGES)
        raw, told = damage(raw, dice), f"{told}+{damage.__name__.strip('_')}"
    return told, raw


def misleading(good: Gguf, dice: random.Random) -> tuple[str, bytes]:
    """A file whose layout is right and whose contents are not: what only who runs the model can notice."""
    file = copy.deepcopy(good)
    chosen = [dice.choice(_LIES) for _ in range(dice.choice((1, 1, 2, 3)))]
    for change in chosen:
        change(file, dice)
    _lay_out(file)
    return "well laid out " + "+".join(change.__name__.strip("_") for change in chosen), file.written()


def _lay_out(file: Gguf) -> None:
    """Put the tensors one after the other, with as much data as they need, unless that is too much."""
    offset = 0
    for tensor in file.tensors:
        tensor.offset = offset
        weights = math.prod(tensor.extents)
        try:
            layout = type_from_number(tensor.kind).layout
        except RecipeError:
            continue
        offset += -(-(weights // layout.block_size * layout.block_bytes) // 32) * 32
    if offset < 1 << 22:
        file.data = file.data[:offset] + file.data[: max(0, offset - len(file.data))]
        file.data += bytes(max(0, offset - len(file.data)))


def damaged_bytes(raw: bytes, dice: random.Random) -> tuple[str, bytes]:
    """A file damaged without regard to what its bytes mean."""
    damage = dice.choice(_DAMAGES)
    return damage.__name__.strip("_"), damage(raw, dice)


def any_text(dice: random.Random) -> bytes:
    return b"y" * (1 << 20) if dice.random() < 0.03 else dice.choice(_TEXTS)


def _some_count(file: Gguf, dice: random.Random) -> None:
    if dice.random() < 0.5:
        file.n_tensors = dice.choice((*HUGE, len(file.tensors) - 1, len(file.tensors) + 1))
    else:
        file.n_keys = dice.choice((*HUGE, len(file.keys) - 1, len(file.keys) + 1))


def _some_length(file: Gguf, dice: random.Random) -> None:
    each = dice.choice([*file.keys, *file.tensors] or [Key(Text(b""), 0, b"")])
    each.name.claimed = dice.choice((*HUGE, len(each.name.raw) + 1, max(0, len(each.name.raw) - 1)))


def _some_offset(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        tensor = dice.choice(file.tensors)
        tensor.offset = dice.choice(
            (*HUGE, tensor.offset + 1, tensor.offset - 32, tensor.offset + 32, -32, len(file.data))
        )


def _same_offset(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        dice.choice(file.tensors).offset = dice.choice(file.tensors).offset


def _some_extent(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        tensor = dice.choice(file.tensors)
        index = dice.randrange(max(1, len(tensor.extents)))
        tensor.extents[index : index + 1] = [dice.choice((*HUGE, 31, 33, 256))]


def _overflowing_extents(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        powers = dice.choice(((32, 32), (31, 31, 2), (16, 16, 16, 16), (63, 1), (21, 21, 21), (40, 24)))
        dice.choice(file.tensors).extents = [1 << power for power in powers]


def _extents_swapped(file: Gguf, dice: random.Random) -> None:
    """As many weights in another shape."""
    if file.tensors:
        tensor = dice.choice(file.tensors)
        tensor.extents = dice.choice(
            (tensor.extents[::-1], [math.prod(tensor.extents)], [*tensor.extents, 1])
        )


def _some_dimensions(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        tensor = dice.choice(file.tensors)
        if dice.random() < 0.5:
            tensor.n_dims = dice.choice((0, 1, 2, 3, 4, 5, 8, 1 << 16, (1 << 32) - 1))
        else:
            tensor.extents += [1] * dice.choice((1, 2, 3, 4))


def _some_type(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        dice.choice(file.tensors).kind = dice.choice((*range(45), 255, 1 << 31, (1 << 32) - 1))


def _some_name(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        dice.choice(file.tensors).name = Text(any_text(dice))


def _same_name(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        dice.choice(file.tensors).name = Text(dice.choice(file.tensors).name.raw)


def _tensor_gone(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        file.tensors.pop(dice.randrange(len(file.tensors)))


def _tensor_twice(file: Gguf, dice: random.Random) -> None:
    if file.tensors:
        file.tensors.append(copy.deepcopy(dice.choice(file.tensors)))


def _tensors_shuffled(file: Gguf, dice: random.Random) -> None:
    dice.shuffle(file.tensors)


def _no_tensors(file: Gguf, dice: random.Random) -> None:
    file.tensors = []


def _some_key_name(file: Gguf, dice: random.Random) -> None:
    if file.keys:
        dice.choice(file.keys).name = Text(any_text(dice))


def _same_key(file: Gguf, dice: random.Random) -> None:
    if file.keys:
        file.keys.insert(dice.randrange(len(file.keys)), copy.deepcopy(dice.choice(file.keys)))


def _key_gone(file: Gguf, dice: random.Random) -> None:
    if file.keys:
        file.keys.pop(dice.randrange(len(file.keys)))


def _some_key_type(file: Gguf, dice: random.Random) -> None:
    if file.keys:
        dice.choice(file.keys).kind = dice.choice((*range(14), 255, (1 << 32) - 1))


def _some_number(file: Gguf, dice: random.Random) -> None:
    """One of the numbers that llama.cpp allocates, divides and loops by."""
    numbers = [key for key in file.keys if key.kind in _FORMS]
    if numbers:
        key = dice.choice(numbers)
        key.kind = dice.choice((4, 4, 4, 5, 10, 11, 0, 7, 6, 12))
        if key.kind in (6, 12):
            value = dice.choice((float("nan"), float("inf"), -1.0, 0.0, 1e30))
            key.value = struct.pack("<" + _FORMS[key.kind], value)
        else:
            form = _FORMS[key.kind].upper()
            size = struct.calcsize(form)
            key.value = struct.pack("<" + form, dice.choice(HUGE) & (1 << 8 * size) - 1)


def _some_text(file: Gguf, dice: random.Random) -> None:
    texts = [key for key in file.keys if key.kind == _STRING]
    if texts:
        text = Text(any_text(dice))
        if dice.random() < 0.3:
            text.claimed = dice.choice(HUGE)
        dice.choice(texts).value = text.written()


def _number_as_array(file: Gguf, dice: random.Random) -> None:
    numbers = [key for key in file.keys if key.kind in _FORMS]
    if numbers:
        key = dice.choice(numbers)
        n = dice.choice((0, 1, 2, 3, 600))
        key.items, key.kind, key.value = (key.kind, n), _ARRAY, key.value * n


def _some_array(file: Gguf, dice: random.Random) -> None:
    arrays = [key for key in file.keys if key.items]
    if arrays:
        key = dice.choice(arrays)
        assert key.items is not None
        key.items = dice.choice(
            ((dice.choice((*range(14), 255)), key.items[1]), (key.items[0], dice.choice(HUGE)))
        )


def _nested_array(file: Gguf, dice: random.Random) -> None:
    depth = dice.choice((1, 2, 100, 50_000))
    nested = struct.pack("<IQ", _ARRAY, 1) * depth
    file.keys.insert(0, Key(Text(b"nested"), _ARRAY, nested + struct.pack("<IQ", 4, 0), (_ARRAY, 1)))


def _alignment(file: Gguf, dice: random.Random) -> None:
    value = dice.choice((0, 1, 2, 3, 16, 31, 33, 64, 4096, 1 << 31, (1 << 32) - 1))
    kind = dice.choice((4, 4, 4, 5, 10, 8))
    raw = Text(b"32").written() if kind == _STRING else struct.pack("<Q", value)[: 8 if kind == 10 else 4]
    file.keys = [key for key in file.keys if key.name.raw != b"general.alignment"]
    file.keys.append(Key(Text(b"general.alignment"), kind, raw))
    if value in (16, 64, 4096) and dice.random() < 0.5:
        file.padding = value


def _split_keys(file: Gguf, dice: random.Random) -> None:
    for name, kind, form in (
        (b"split.count", 2, "H"),
        (b"split.no", 2, "H"),
        (b"split.tensors.count", 5, "I"),
    ):
        if dice.random() < 0.6:
            value = dice.choice((0, 1, 2, 3, 0x7FFF, 0xFFFF))
            file.keys.append(Key(Text(name), kind, struct.pack("<" + form, value)))


def _version(file: Gguf, dice: random.Random) -> None:
    file.version = dice.choice((0, 1, 2, 4, 1 << 16, 1 << 31, (1 << 32) - 1))


def _big_endian(file: Gguf, dice: random.Random) -> None:
    file.order = ">"


def _magic(file: Gguf, dice: random.Random) -> None:
    file.magic = dice.choice((b"FUGG", b"GGUF", b"GGML", b"gguf", b"\0\0\0\0"))


def _less_data(file: Gguf, dice: random.Random) -> None:
    file.data = file.data[: dice.choice((0, 1, len(file.data) // 2, len(file.data) - 1, len(file.data) - 32))]


def _bad_values(file: Gguf, dice: random.Random) -> None:
    """Weights that are infinite or undefined, for every type in its own way."""
    start = dice.randrange(max(1, len(file.data)))
    n = dice.choice((1, 64, 4096))
    file.data = (file.data[:start] + b"\xff" * n + file.data[start + n :])[: len(file.data)]


def _cut(raw: bytes, dice: random.Random) -> bytes:
    return raw[
        : dice.randrange(len(raw) + 1) if dice.random() < 0.3 else dice.randrange(min(12_000, len(raw)) + 1)
    ]


def _flipped(raw: bytes, dice: random.Random) -> bytes:
    found = bytearray(raw)
    if found:
        for _ in range(dice.choice((1, 1, 2, 8, 64))):
            found[dice.randrange(min(len(found), _TOP))] ^= 1 << dice.randrange(8)
    return bytes(found)


def _overwritten(raw: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(min(len(raw), _TOP) + 1)
    return raw[:at] + struct.pack("<Q", dice.choice(HUGE)) + raw[at + 8 :]


def _piece_moved(raw: bytes, dice: random.Random) -> bytes:
    start, to, n = (
        dice.randrange(len(raw) + 1),
        dice.randrange(min(len(raw), _TOP) + 1),
        dice.randrange(200),
    )
    return raw[:to] + raw[start : start + n] + raw[to:]


def _piece_gone(raw: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(min(len(raw), _TOP) + 1)
    return raw[:at] + raw[at + dice.randrange(1, 64) :]


def _noise_after(raw: bytes, dice: random.Random) -> bytes:
    return raw[: dice.choice((4, 8, 24, 100))] + dice.randbytes(dice.choice((8, 500, 5000)))


_CHANGES: tuple[Callable[[Gguf, random.Random], None], ...] = (
    *(_some_count, _some_length, _some_offset, _same_offset, _some_extent, _overflowing_extents),
    *(_some_dimensions, _some_type, _some_name, _same_name, _tensor_gone, _tensor_twice, _tensors_shuffled),
    *(_no_tensors, _some_key_name, _same_key, _key_gone, _some_key_type, _some_number, _some_number),
    *(_some_number, _some_text, _number_as_array, _some_array, _nested_array, _alignment, _split_keys),
    *(_version, _big_endian, _magic, _less_data, _bad_values),
)  # fmt: skip
_LIES: tuple[Callable[[Gguf, random.Random], None], ...] = (
    *(_some_extent, _some_type, _some_name, _same_name, _tensor_gone, _tensors_shuffled, _no_tensors),
    *(_some_key_name, _key_gone, _some_number, _some_number, _some_number, _some_number, _some_text),
    *(_number_as_array, _split_keys, _bad_values, _bad_values, _extents_swapped),
)
_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_cut, _flipped, _flipped, _overwritten, _piece_moved, _piece_gone, _noise_after),
)
