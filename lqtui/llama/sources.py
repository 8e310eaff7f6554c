"""What encodings draw on beside the base model: importance matrices, and quantized files to copy from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lqtui.llama import native
from lqtui.llama.errors import EngineError
from lqtui.llama.gguf import BaseModel
from lqtui.llama.same_model import check_same_model
from lqtui.recipe.imatrix import Encoding, Imatrix
from lqtui.recipe.quantized_file import QuantizedFile
from lqtui.recipe.shape import TensorInfo
from lqtui.store.imatrix_file import ImatrixFile, open_imatrix


class Sources:
    """The files of a task by their SHA-256, opened and checked when first used; `with` closes them."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._matrices: dict[str, ImatrixFile] = {}
        self._files: dict[str, BaseModel] = {}
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files = {}
        self._opened.close()

    def importance(self, tensor: TensorInfo, encoding: Encoding) -> NDArray[np.float32] | None:
        """What an encoding weighs a tensor's errors by, shape (matrices, columns); None where by nothing.

        Raises StoreError where the file is gone or has changed.
        """
        digest = encoding.imatrix
        if not digest:
            return None
        if digest not in self._matrices:
            self._matrices[digest] = open_imatrix(self._paths[digest], digest)
        return self._matrices[digest].weights(tensor.name).reshape(-1, tensor.columns)

    def copied(self, base: BaseModel, tensor: TensorInfo, encoding: Encoding) -> NDArray[np.uint8] | None:
        """The bytes that an encoding copies, mapped from the file; None where it copies none.

        That the file is the one of its digest is for the caller to know: it is too large to read each time.
        Raises EngineError where it is gone, is no model, or is another one than the base.
        """
        digest = encoding.file
        if not digest:
            return None
        path = self._paths[digest]
        if digest not in self._files:
            file = self._opened.enter_context(BaseModel(path))
            check_same_model(base, path, file)
            self._files[digest] = file
        file = self._files[digest]
        if file.shape.by_name[tensor.name].type is not encoding.type:
            raise EngineError(f"{path} has changed: it no longer holds {tensor.name} as {encoding.type}")
        data = file.data(tensor.name)
        if not native.ggml().ggml_validate_row_data(encoding.type.layout.number, data.ctypes.data, data.size):
            raise EngineError(
                f"{tensor.name} of {path} holds infinite or undefined values; download it again"
            )
        return data


NO_SOURCES = Sources({})


def sources_of(imatrix: Imatrix | None, file: QuantizedFile | None = None) -> Sources:
    """The sources of one recipe."""
    return Sources({each.sha256: Path(each.path) for each in (imatrix, file) if each is not None})
