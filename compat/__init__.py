"""Run legacy and generic datasource plugins through one interface.

This is the only public import: everything a stream manager, a script or a test needs is here. What there is stands in
``public.py``. It takes half a second to import, so that is done at the first use of a name: the command
``plugin-compat`` can provide for Ctrl-C before that. Type checkers read ``__init__.pyi`` instead.
"""

from __future__ import annotations

import sys as _sys


def __getattr__(name: str) -> object:
    """A public name; called where it has not been used before."""
    if name == "__all__" or not name.startswith("_"):
        import compat.public  # noqa: F401, PLC0415 - found by its name; imported here for the reason above

        # While that is being imported, it asks for what it imports from here: those are modules, and not found yet.
        offered = vars(_sys.modules["compat.public"])
        if name == "__all__" or name in offered.get("__all__", ()):
            return globals().setdefault(name, offered[name])
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg, name=name)


def __dir__() -> list[str]:
    __getattr__("__all__")
    return sorted({*globals(), *globals()["__all__"]})
