"""What the child can do: one function for each task."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

from lqtui.llama.gguf import BaseModel
from lqtui.llama.native import engine_name
from lqtui.recipe.memory import ContextMemory
from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write
from lqtui.store.paths import make_directory
from lqtui.store.pool import Pool
from lqtui.worker.chat_messages import Chat
from lqtui.worker.child.hub import run_hub_task
from lqtui.worker.convert_messages import Convert
from lqtui.worker.inspect_messages import InspectTensor
from lqtui.worker.messages import (
    AskMemory,
    ComputeImatrix,
    Describe,
    DigestTensors,
    EngineInfo,
    Estimate,
    Event,
    FetchWikitext,
    Fingerprint,
    Finished,
    Measure,
    Progress,
    ReadHeader,
    ReadQuantized,
    Task,
    WriteModel,
)

_READ_SIZE = 8 << 20

Send = Callable[[Event], None]


def run(task: Task, send: Send) -> Finished:
    """Do a task, telling `send` of its progress, and return what it finishes with."""
    build = engine_name()
    match task:
        case ReadHeader():
            with BaseModel(task.model) as base:
                return Finished(build, shape=base.shape)
        case Fingerprint():
            with BaseModel(task.model) as base:
                return Finished(build, digest=_fingerprint(base, send))
        case ReadQuantized():
            return _read_quantized(task, send)
        case DigestTensors():
            return Finished(build, tensor_digests=_tensor_digests(task, send))
        case Measure():
            from lqtui.worker.child.measuring import measure

            measure(task, send)
            return Finished(build)
        case Estimate():
            from lqtui.worker.child.estimating import estimate

            estimate(task, send)
            return Finished(build)
        case Chat():
            from lqtui.worker.child.chatting import chat

            chat(task, send)
            return Finished(build)
        case ComputeImatrix():
            from lqtui.worker.child.imatrices import compute

            compute(task, send)
            return Finished(build)
        case InspectTensor():
            from lqtui.worker.child.inspecting import inspect

            inspect(task, send)
            return Finished(build)
        case WriteModel():
            return Finished(build, bytes=_write_model(task, send))
        case Convert():
            from lqtui.worker.child.converting import convert

            return Finished(build, bytes=convert(task, send))
        case FetchWikitext():
            return Finished(build, digest=_fetch_wikitext(task, send))
        case AskMemory():
            return Finished(build, memory=_ask_memory(task))
        case Describe():
            return Finished(build, engine=_describe())
        case _:
            return Finished(build, hub=run_hub_task(task, send))


def _read_quantized(task: ReadQuantized, send: Send) -> Finished:
    from lqtui.llama.same_model import check_same_model, differing_keys

    with BaseModel(task.model) as base, BaseModel(task.file) as file:
        check_same_model(base, task.file, file)
        return Finished(
            engine_name(),
            shape=file.shape,
            digest=task.digest or _fingerprint(file, send),
            differing_keys=differing_keys(base, file),
        )


def _fingerprint(model: BaseModel, send: Send) -> str:
    digest, done, total = hashlib.sha256(), 0, model.shape.file_bytes
    for path in model.part_paths:
        with path.open("rb") as file:
            while piece := file.read(_READ_SIZE):
                digest.update(piece)
                done += len(piece)
                send(Progress("fingerprint", done >> 20, total >> 20, "MiB"))
    return digest.hexdigest()


def _tensor_digests(task: DigestTensors, send: Send) -> dict[str, str]:
    digests: dict[str, str] = {}
    with BaseModel(task.model) as base:
        total = base.shape.file_bytes >> 20
        done = 0
        for tensor in base.shape.tensors:
            data = base.data(tensor.name)
            digest = hashlib.sha256()
            for start in range(0, data.size, _READ_SIZE):
                digest.update(data[start : start + _READ_SIZE].tobytes())
            digests[tensor.name] = digest.hexdigest()
            done += data.size
            send(Progress("compare", done >> 20, total, "MiB"))
    return digests


def _write_model(task: WriteModel, send: Send) -> int:
    from lqtui.llama.quantize import write_model

    entry = Pool(task.pool).entry(task.model_digest, engine_name()) if task.model_digest else None
    with contextlib.ExitStack() as held, BaseModel(task.model) as base:
        try:
            if entry:
                held.enter_context(entry.in_use())
        except StoreError:
            entry = None  # a file can be written all the same
        return write_model(
            base,
            task.encodings,
            task.file_type,
            task.out,
            entry,
            task.threads,
            lambda done, total: send(Progress("writing", done >> 20, total >> 20, "MiB")),
            task.imatrix,
            task.copied_from,
        )


def _fetch_wikitext(task: FetchWikitext, send: Send) -> str:
    from lqtui.hub.wikitext import wikitext_2_test

    send(Progress("fetching", 0, 1, "WikiText-2"))
    text = wikitext_2_test(lambda _, done, total: send(Progress("fetching", done >> 10, total >> 10, "KiB")))
    make_directory(task.out.parent)
    with atomic_write(task.out) as temporary:
        temporary.write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def _ask_memory(task: AskMemory) -> ContextMemory:
    from lqtui.llama import memory, runtime

    with runtime.backend():
        return memory.context_memory(task.model, task.n_ctx, task.type_k, task.type_v, task.gpu_layers)


def _describe() -> EngineInfo:
    from lqtui.llama import runtime

    with runtime.backend():
        return EngineInfo(*runtime.describe())
