"""How much the pool may hold, and keeping it to that: what was not used for longest goes."""

from __future__ import annotations

import contextlib
import sys

from lqtui.store.paths import Paths
from lqtui.store.pool import Pool
from lqtui.system.disk import disk_size
from lqtui.workbench.preferences import read_settings

_SHARE = 4
"""Where nobody says how much may be kept, it is the disk's size divided by this."""


def cache_limit(paths: Paths) -> int:
    """Bytes of quantized tensors that are kept between jobs, as the settings file says now."""
    asked = read_settings(paths.settings_file).preferences.cache_gib
    if asked is not None and 0 <= asked < float("inf"):
        return int(asked * (1 << 30))
    try:
        return disk_size(paths.pool) // _SHARE
    except OSError:
        return sys.maxsize


def keep_cache(paths: Paths) -> None:
    """Keep the pool to its limit, beside whatever uses it; where that fails, the next job's end does it."""
    with contextlib.suppress(OSError):
        Pool(paths.pool).keep_to(cache_limit(paths))
