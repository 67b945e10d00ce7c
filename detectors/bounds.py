"""How much of a module is read, and how long its validation may take, before it is refused as ``too-large``.

The defaults leave every real plugin plenty of room, and bound the work for a hostile one. A test, or a user with larger
plugins, gives others: ``inspect(path, bounds=InspectionBounds(validation_timeout=60))``.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import attrs

from detectors.errors import UsageError
from detectors.wording import shown

__all__ = ["USUAL", "InspectionBounds"]


def _refused(instance: object, field: attrs.Attribute[Any], value: object, words: str) -> UsageError:
    call = type(instance).__name__
    given = shown(repr(value)) if isinstance(value, str | int | float) else f"a value of type {type(value).__name__}"
    msg = f"{call}: {field.name} must be {words}, not {given}"
    return UsageError(msg, remedy=f"Correct {call}({field.name}=...)")


def _seconds(instance: object, field: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise _refused(instance, field, value, "a finite number of seconds above 0")


def _whole(instance: object, field: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < 1:
        raise _refused(instance, field, value, "a whole number, 1 or more")


@attrs.frozen
class InspectionBounds:
    """Sizes in bytes, counts, and a deadline in seconds.

    Attributes:
        max_size: Of the module. Go plugins take 3 to 5 MB.
        max_section: Of a section that declares types, functions, imports, exports, memories, tables or globals; those
            of a 4 MB Go plugin take 4 KB. Code, data and elements have no bound of their own, and of a custom section
            so much is looked at.
        max_sections: How many there may be. A Go plugin has 14.
        max_imports: How many there may be. A Go plugin has 30.
        max_exports: How many there may be. A Go plugin has 20.
        max_instructions: In the constant expressions of one section. 100,000 data segments have as many.
        validation_timeout: For wasmtime to validate the module. It takes a fiftieth of a second for a Go plugin.

    Raises:
        UsageError: One of them is no such number.
    """

    max_size: int = attrs.field(default=100 << 20, validator=_whole)
    max_section: int = attrs.field(default=1 << 20, validator=_whole)
    max_sections: int = attrs.field(default=10_000, validator=_whole)
    max_imports: int = attrs.field(default=10_000, validator=_whole)
    max_exports: int = attrs.field(default=10_000, validator=_whole)
    max_instructions: int = attrs.field(default=500_000, validator=_whole)
    validation_timeout: float = attrs.field(default=10.0, validator=_seconds)


#: The defaults.
USUAL = InspectionBounds()
