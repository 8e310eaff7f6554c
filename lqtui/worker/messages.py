"""What parent and child say to each other: typed messages, as JSON with its length before it.

The parent sends one task and keeps the pipe open; the child answers with events, the last of which is
Finished or Failed. A child whose pipe closes ends itself, so that no child outlives the app.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

from lqtui.hub.values import HubAnswer
from lqtui.recipe.imatrix import Encoding, Imatrix
from lqtui.recipe.memory import ContextMemory
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.store.estimates import BlockEstimate, TensorEstimate
from lqtui.worker.chat_messages import Chat, ChatEvent
from lqtui.worker.convert_messages import Convert
from lqtui.worker.hub_messages import BytesCame, HubTask
from lqtui.worker.inspect_messages import InspectEvent, InspectTensor

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size
"""Bytes of the length that comes before each message."""
_LONGEST = 256 << 20


class ReadHeader(msgspec.Struct, frozen=True, tag=True):
    """Read the shape of a GGUF model, all its parts together. Finishes with a ModelShape."""

    model: Path


class Fingerprint(msgspec.Struct, frozen=True, tag=True):
    """Compute the SHA-256 of a model's file, of all its parts in order. Finishes with the digest in hex."""

    model: Path


class ReadQuantized(msgspec.Struct, frozen=True, tag=True):
    """Look through a quantized file, all its parts together, which must be of the model.

    Finishes with its shape, the SHA-256 of its parts in order, which is not computed where `digest` tells it,
    and the keys of its header that make it compute otherwise than the model.
    """

    model: Path
    file: Path
    digest: str = ""


class DigestTensors(msgspec.Struct, frozen=True, tag=True):
    """Compute the SHA-256 of each tensor's data. Finishes with the digests in hex by name."""

    model: Path


class RecipeTypes(msgspec.Struct, frozen=True):
    """A recipe as the engine needs it: how every tensor is written, by name, and what to measure.

    `chunks_known` chunks were scored in an earlier job; scoring goes on after them. `pruned` blocks are left
    out of the model.
    """

    encodings: dict[str, Encoding]
    perplexity: bool
    speed: bool
    chunks_known: int = 0
    pruned: tuple[int, ...] = ()


class UntilClear(msgspec.Struct, frozen=True):
    """Score no more chunks than it takes to tell, at this confidence, which of two recipes is better.

    `recipes` are their indices in the task, None for one of which all chunks are known. `known` are the mean
    KLDs (NLLs, where recipes are not compared with the base) of the chunks that are known of each; a broken
    recipe's are None.
    """

    confidence: float
    recipes: tuple[int | None, int | None]
    known: tuple[list[float | None], list[float | None]]


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Measure recipes: score them chunk by chunk, all together, then time each by itself.

    With `divergence` they are also compared with the base model. With `spread` the chunks come from all over
    the corpus, not from its beginning. Scoring takes `other_threads` where they prove faster. `gpu_layers` -1
    offloads all layers. `memory` bounds, in bytes, what is kept to save computing. `files` are those that
    encodings name, importance matrices and quantized models, by their SHA-256.
    """

    model: Path
    recipes: list[RecipeTypes]
    pool: Path
    model_digest: str
    label: str
    corpus: Path
    n_ctx: int
    chunks: int
    repetitions: int
    n_prompt: int
    n_gen: int
    threads: int
    other_threads: tuple[int, ...] = ()
    gpu_layers: int = -1
    divergence: bool = True
    spread: bool = False
    memory: int = 1 << 30
    until_clear: UntilClear | None = None
    files: dict[str, Path] = {}


class Estimate(msgspec.Struct, frozen=True, tag=True):
    """Estimate what types do to each tensor, and how much each block matters, without evaluating a recipe.

    Each tensor is estimated at the effective types where `types` are asked for. With `spread` the chunks come
    from all over the corpus, not from its beginning. `gpu_layers` -1 offloads all layers. With an `imatrix`
    they are the errors of types that are quantized by it.
    """

    model: Path
    corpus: Path
    n_ctx: int
    chunks: int
    types: list[TensorType]
    threads: int
    gpu_layers: int = -1
    spread: bool = False
    imatrix: Imatrix | None = None


class ComputeImatrix(msgspec.Struct, frozen=True, tag=True):
    """Compute the importance matrix of a model on the first chunks of a corpus, and write it to `out`.

    What is unfinished is kept, too. It goes on from `begun`, which is of fewer chunks of the same text. The
    file calls the text `dataset`. At most so many seconds of work are lost when it is stopped, or one chunk.
    """

    model: Path
    corpus: Path
    dataset: str
    n_ctx: int
    chunks: int
    out: Path
    unfinished: Path
    begun: Path | None
    save_seconds: float
    threads: int
    gpu_layers: int = -1


class WriteModel(msgspec.Struct, frozen=True, tag=True):
    """Write a recipe's GGUF file. Finishes with its size in bytes."""

    model: Path
    encodings: dict[str, Encoding]
    file_type: int
    out: Path
    pool: Path
    model_digest: str
    threads: int
    imatrix: Imatrix | None = None
    copied_from: QuantizedFile | None = None


class FetchWikitext(msgspec.Struct, frozen=True, tag=True):
    """Fetch the test set of WikiText-2 from the Hugging Face Hub. Finishes with its digest."""

    out: Path


class AskMemory(msgspec.Struct, frozen=True, tag=True):
    """Ask what a model's context takes, weights aside. Finishes with a ContextMemory."""

    model: Path
    n_ctx: int
    type_k: TensorType
    type_v: TensorType
    gpu_layers: int = -1


class Describe(msgspec.Struct, frozen=True, tag=True):
    """Tell what engine this is. Finishes with an EngineInfo."""


Task = (
    ReadHeader
    | Fingerprint
    | ReadQuantized
    | DigestTensors
    | Measure
    | Estimate
    | ComputeImatrix
    | InspectTensor
    | Chat
    | WriteModel
    | Convert
    | FetchWikitext
    | AskMemory
    | HubTask
    | Describe
)


class Progress(msgspec.Struct, frozen=True, tag=True):
    """How far the job is: `done` of `total` in `unit`, in a stage of one recipe, or of all (None).

    `total` is 0 where it is not known yet. `share` of the stage's work is done, 0 to 1, where that is not
    `done / total` because some take longer than others.
    """

    stage: str
    done: int
    total: int
    unit: str
    recipe: int | None = None
    share: float | None = None


class CorpusRead(msgspec.Struct, frozen=True, tag=True):
    """The corpus is cut into chunks: as many as asked for, or fewer where the text is shorter."""

    chunks: int


class ChunkScored(msgspec.Struct, frozen=True, tag=True):
    """One more chunk of a recipe is scored, which took `seconds` beyond what it shares with others.

    For each scored token `nll` holds a float64, `kld` a float32 and `same_top` a byte; the latter two are
    empty where the recipe is not compared with the base.
    """

    recipe: int
    chunk: int
    seconds: float
    nll: bytes
    kld: bytes = b""
    same_top: bytes = b""


class SpeedMeasured(msgspec.Struct, frozen=True, tag=True):
    """Tokens per second of each repetition of one test of a recipe; one of `n_prompt`, `n_gen` is 0."""

    recipe: int
    n_prompt: int
    n_gen: int
    tokens_per_second: list[float]


class TensorEstimated(msgspec.Struct, frozen=True, tag=True):
    """One more tensor is estimated."""

    estimate: TensorEstimate


class BlockEstimated(msgspec.Struct, frozen=True, tag=True):
    """All tensors of a block are estimated, and the block with them."""

    estimate: BlockEstimate


class EngineInfo(msgspec.Struct, frozen=True):
    """What the processor offers the engine, and the devices that it can use."""

    system_info: str
    gpu_offload: bool
    devices: list[str]


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The job is done; what it finishes with depends on the task. `build` names the build of llama.cpp."""

    build: str
    shape: ModelShape | None = None
    digest: str | None = None
    bytes: int | None = None
    engine: EngineInfo | None = None
    memory: ContextMemory | None = None
    hub: HubAnswer | None = None
    tensor_digests: dict[str, str] | None = None
    differing_keys: list[str] = []


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The job cannot be done, and one sentence on why: for what was asked for, or for something else."""

    message: str
    bad_input: bool = True


Event = (
    Progress
    | CorpusRead
    | ChunkScored
    | SpeedMeasured
    | TensorEstimated
    | BlockEstimated
    | ChatEvent
    | InspectEvent
    | BytesCame
    | Finished
    | Failed
)

_encoder = msgspec.json.Encoder(enc_hook=str)
_task_decoder = msgspec.json.Decoder(Task, dec_hook=lambda _, text: Path(text))
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event, dec_hook=lambda _, text: Path(text))


def packed(message: Task | Event) -> bytes:
    """A message with its length before it, ready for a pipe."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def body_length(prefix: bytes) -> int:
    """The length of the message that follows these LENGTH_BYTES bytes; msgspec.DecodeError if it is none."""
    length = int(_LENGTH.unpack(prefix)[0])
    if length > _LONGEST:
        raise msgspec.DecodeError(f"a message of {length} bytes")
    return length


def unpack_event(body: bytes) -> Event:
    """The event in a message's body; msgspec.DecodeError if it is none."""
    return _event_decoder.decode(body)


def read_task(stream: BinaryIO) -> Task | None:
    """The task at the start of a stream, None where the stream ends first."""
    prefix = _read_exactly(stream, LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        return None
    task: Task = _task_decoder.decode(_read_exactly(stream, body_length(prefix)))
    return task


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes of an unbuffered stream, fewer where it ends."""
    read = b""
    while len(read) < size and (piece := stream.read(size - len(read))):
        read += piece
    return read
