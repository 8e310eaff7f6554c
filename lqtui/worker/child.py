"""The child process: reads one task, runs llama.cpp, writes events. Run as `python -m lqtui.worker.child`."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lqtui.hub.errors import HubError
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.native import engine_name
from lqtui.recipe.errors import RecipeError
from lqtui.store.errors import StoreError
from lqtui.store.files import atomic_write
from lqtui.store.paths import make_directory
from lqtui.store.pool import Pool, PoolEntry
from lqtui.worker.messages import (
    ChunkScored,
    Describe,
    EngineInfo,
    Event,
    Failed,
    FetchWikitext,
    Fingerprint,
    Finished,
    Measure,
    PerplexityMeasured,
    Progress,
    ReadHeader,
    SpeedMeasured,
    Task,
    WriteModel,
    packed,
    read_task,
)

_NICENESS = 5
_READ_SIZE = 8 << 20
_ORPHAN_SECONDS = 2.0
"""How long a child without a parent may take to remove what it has half-written."""

Send = Callable[[Event], None]


def main() -> None:
    """Run the task on standard input; events go to standard output, everything else to standard error."""
    faulthandler.enable()
    send = _sender(_take_standard_output())
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICENESS)
    stdin = os.fdopen(0, "rb", buffering=0)
    task = read_task(stdin)
    if task is None:
        return
    code = 1
    try:
        signal.signal(signal.SIGTERM, _stop)
        threading.Thread(target=_stop_with_parent, args=(stdin,), daemon=True).start()
        _answer(task, send)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)  # what native code would still do at exit is of no use, and can crash


def _answer(task: Task, send: Send) -> None:
    try:
        send(run(task, send))
    except (EngineError, HubError, StoreError, RecipeError) as error:
        send(Failed(str(error)))
    except MemoryError:
        send(Failed("the memory does not suffice for this job; close something, or choose a smaller recipe"))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else "the job stopped while it read or wrote a file: "
        send(Failed(f"{place}{error.strerror or error}"))


def run(task: Task, send: Send) -> Finished:
    """Do a task, telling `send` of its progress, and return what it finishes with."""
    build = engine_name()
    match task:
        case ReadHeader():
            with BaseModel(task.model) as base:
                return Finished(build, shape=base.shape)
        case Fingerprint():
            return Finished(build, digest=_fingerprint(task, send))
        case Measure():
            _measure(task, send)
            return Finished(build)
        case WriteModel():
            return Finished(build, bytes=_write_model(task, send))
        case FetchWikitext():
            return Finished(build, bytes=_fetch_wikitext(task, send))
        case Describe():
            return Finished(build, engine=_describe())


def _fingerprint(task: Fingerprint, send: Send) -> str:
    with BaseModel(task.model) as base:
        parts, total = base.part_paths, base.shape.file_bytes
    digest, done = hashlib.sha256(), 0
    for path in parts:
        with path.open("rb") as file:
            while piece := file.read(_READ_SIZE):
                digest.update(piece)
                done += len(piece)
                send(Progress("fingerprint", done >> 20, total >> 20, "MiB"))
    return digest.hexdigest()


def _measure(task: Measure, send: Send) -> None:
    from lqtui.llama import corpus, runtime

    entry = Pool(task.pool).entry(task.model_digest, engine_name(), task.label)
    chunks = None
    with runtime.backend(), BaseModel(task.model) as base:
        if any(recipe.perplexity for recipe in task.recipes):
            # First of all: a text that cannot be used is told before anything is quantized.
            with runtime.loaded_model([base.first_part], 0, vocab_only=True) as vocabulary:
                chunks = corpus.corpus_chunks(vocabulary, task.corpus, task.n_ctx, task.chunks)
        for index in range(len(task.recipes)):
            waiting = Progress("waiting", 0, 1, "another lqtui", index)
            with entry.lock(on_wait=partial(send, waiting)):
                _measure_recipe(task, index, base, chunks, entry, send)


def _measure_recipe(
    task: Measure,
    index: int,
    base: BaseModel,
    chunks: NDArray[np.int32] | None,
    entry: PoolEntry,
    send: Send,
) -> None:
    from lqtui.llama import bench, forward, runtime
    from lqtui.llama.quantize import fill_pool

    def progress(stage: str, unit: str) -> Callable[[int, int], None]:
        return lambda done, total: send(Progress(stage, done, total, unit, index))

    started = time.perf_counter()
    recipe = task.recipes[index]
    types = recipe.types
    if all(tensor.type is types[tensor.name] for tensor in base.shape.tensors):
        shards = [base.first_part]
    else:
        on_bytes = progress("quantizing", "MiB")
        shards = fill_pool(base, types, entry, task.threads, lambda d, t: on_bytes(d >> 20, t >> 20))
    send(Progress("loading", 0, 1, "model", index))
    with runtime.loaded_model(shards, task.gpu_layers) as model:
        if recipe.perplexity and chunks is not None:
            on_chunk, known = progress("perplexity", "chunks"), recipe.chunks_known
            on_chunk(known, len(chunks))
            for number, nll in enumerate(forward.chunk_nlls(model, chunks[known:], task.threads), known):
                send(ChunkScored(index, number, nll.tobytes()))
                on_chunk(number + 1, len(chunks))
            send(PerplexityMeasured(index, time.perf_counter() - started))
        if recipe.speed:
            speeds = bench.prompt_speed(
                model, task.n_prompt, task.repetitions, task.threads, progress("prompt speed", "runs")
            )
            send(SpeedMeasured(index, task.n_prompt, 0, speeds))
            speeds = bench.generation_speed(
                model, task.n_gen, task.repetitions, task.threads, progress("generation speed", "runs")
            )
            send(SpeedMeasured(index, 0, task.n_gen, speeds))


def _write_model(task: WriteModel, send: Send) -> int:
    from lqtui.llama.quantize import write_model

    entry = Pool(task.pool).entry(task.model_digest, engine_name()) if task.model_digest else None
    with BaseModel(task.model) as base:
        return write_model(
            base,
            task.types,
            task.file_type,
            task.out,
            entry,
            task.threads,
            lambda done, total: send(Progress("writing", done >> 20, total >> 20, "MiB")),
        )


def _fetch_wikitext(task: FetchWikitext, send: Send) -> int:
    from lqtui.hub.wikitext import wikitext_2_test

    send(Progress("fetching", 0, 1, "WikiText-2"))
    text = wikitext_2_test(lambda done, total: send(Progress("fetching", done >> 10, total >> 10, "KiB")))
    make_directory(task.out.parent)
    with atomic_write(task.out) as temporary:
        return temporary.write_bytes(text)


def _describe() -> EngineInfo:
    from lqtui.llama import runtime

    with runtime.backend():
        return EngineInfo(*runtime.describe())


def _take_standard_output() -> BinaryIO:
    """Keep standard output for events, and send to standard error whatever native code prints."""
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


def _sender(stream: BinaryIO) -> Send:
    def send(event: Event) -> None:
        try:
            stream.write(packed(event))
            stream.flush()
        except BrokenPipeError:
            _stop()

    return send


def _stop(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    """Leave the task by an exception, so that everything half-written is removed on the way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _stop_with_parent(stdin: BinaryIO) -> None:
    """Stop when the parent's end of the pipe closes: the job was cancelled, or the app closed or killed."""
    stdin.read(1)
    main = threading.main_thread().ident
    if sys.platform != "win32" and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(_ORPHAN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
