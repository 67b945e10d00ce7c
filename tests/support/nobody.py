"""Being somebody who may not read everything, for a moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["IS_ROOT", "as_nobody"]

IS_ROOT = os.geteuid() == 0
_NOBODY = 65_534


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Let this process be nobody's; only root can come back from there. Import beforehand what is needed within."""
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
