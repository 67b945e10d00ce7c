"""How many examples a long test looks at: few of them in the ordinary suite, many nightly."""

from __future__ import annotations

import pytest

__all__ = ["few_and_many"]


def few_and_many(few: int, many: int) -> pytest.MarkDecorator:
    """Run a test, which takes the number of its ``examples``, with few of them, and with many under ``nightly``."""
    return pytest.mark.parametrize(
        "examples", [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.nightly)]
    )
