"""How fine types are given: a module of its own, so that the command line's options load nothing else."""

from __future__ import annotations

from enum import StrEnum


class Granularity(StrEnum):
    """What is looked at one by one."""

    TENSOR = "tensor"
    BLOCK = "block"
