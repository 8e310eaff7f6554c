"""Inspect a tensor: its weights, then type after type."""

from __future__ import annotations

from lqtui.llama.gguf import BaseModel
from lqtui.llama.inspecting import inspect_tensor, inspect_type
from lqtui.llama.sources import Sources
from lqtui.worker.child.tasks import Send
from lqtui.worker.inspect_messages import InspectTensor, TensorInspected, TypeInspected
from lqtui.worker.messages import Progress


def inspect(task: InspectTensor, send: Send) -> None:
    """Do an InspectTensor task."""
    with BaseModel(task.model) as base, Sources(task.files) as sources:
        tensor = base.shape.by_name[task.tensor]
        total = len(task.encodings)
        send(Progress("reading", 0, 1, tensor.name))
        send(TensorInspected(inspect_tensor(base, tensor, task.first, task.size)))
        for done, encoding in enumerate(task.encodings):
            send(Progress("quantizing", done, total, "types"))
            found = inspect_type(
                base,
                tensor,
                encoding,
                task.first,
                task.size,
                sampled=task.sampled,
                threads=task.threads,
                sources=sources,
            )
            send(TypeInspected(found))
        send(Progress("quantizing", total, total, "types"))
