"""What the machine may lack, told as its own fault: files, memory, threads, disk, buffers.

The same lack shows in many ways: as an ``OSError`` of whatever was being done, as a ``MemoryError``, as a text of
Extism that ends in ``(os error 12)``. One table says what each is, and what helps. It stands on the ground floor, as
every floor meets it.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

import attrs

from detectors.errors import CompatError, MachineError

__all__ = ["LACKS", "Lack", "machine_error", "machine_error_in", "machine_faults", "remedy_of"]


@attrs.frozen
class Lack:
    """Something that the machine may lack.

    Attributes:
        errnos: The system's numbers for it.
        what: What is lacking.
        remedy: What helps.
    """

    errnos: frozenset[int]
    what: str
    remedy: str


_FEWER = "run fewer plugins and streams in one process"
_CACHE = (
    "Compiled plugins are kept below XDG_CACHE_HOME, or HOME, or where EXTISM_CACHE_CONFIG says: name a folder there "
    "that can be written to"
)

#: Every lack that is known.
LACKS: tuple[Lack, ...] = (
    Lack(
        frozenset({errno.EMFILE}),
        "this process has too many files open",
        f"Raise the limit of open files (ulimit -n, LimitNOFILE=), or {_FEWER}",
    ),
    Lack(
        frozenset({errno.ENFILE}),
        "this machine has too many files open",
        f"Raise the machine's limit (sysctl fs.file-max), or {_FEWER}",
    ),
    Lack(
        frozenset({errno.ENOMEM}),
        "there is no memory left",
        f"Free memory, or {_FEWER}. Limits of addresses count, too (ulimit -v): a guest reserves some 16 GiB of them",
    ),
    Lack(
        frozenset({errno.EAGAIN}),
        "no further thread can be started",
        f"Raise the limit of threads (ulimit -u, TasksMax=, a container's limit of pids), free memory, or {_FEWER}",
    ),
    Lack(
        frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}),
        "there is no room left on the disk, or in its quota",
        "Make room",
    ),
    Lack(
        frozenset({errno.EROFS}),
        "the file system is read-only",
        "Make it writable",
    ),
    Lack(
        frozenset({errno.ENOBUFS}),
        "there is no memory left for network buffers",
        f"Look at the machine's limits for sockets (sysctl net), or {_FEWER}",
    ),
)
_BY_ERRNO = {number: lack for lack in LACKS for number in lack.errnos}
_OF_DISK = frozenset({errno.ENOSPC, errno.EROFS})
_NO_THREAD = "can't start new thread"  # which Python says in a RuntimeError
_OS_ERROR = re.compile(r"\(os error (\d+)\)$")  # how what is written in Rust ends


def machine_error(error: BaseException, plugin: str = "", doing: str = "") -> MachineError | None:
    """The same as the machine's fault; ``None`` if it is somebody else's.

    Args:
        error: What was raised. What it came of is looked at as well.
        plugin: The plugin that it befell.
        doing: What was not possible: ``could not connect to ...``.
    """
    if isinstance(error, MachineError):
        return MachineError(error.what, error.remedy, error.plugin or plugin, error.doing or doing)
    for origin in _origins(error):
        lack = _BY_ERRNO.get(_errno_of(origin))
        if lack is not None:
            found = MachineError(lack.what, lack.remedy, plugin, doing)
            found.__cause__ = error
            return found
    return None


def machine_error_in(text: str) -> MachineError | None:
    """The same for a text in which Extism says why it cannot make an instance."""
    number = _OS_ERROR.search(text.strip())
    if number is None:
        return None
    lack = _BY_ERRNO.get(int(number[1]))
    # The one thing that it has to do with the disk is its cache.
    if lack is not None:
        return MachineError(lack.what, f"{lack.remedy}. {_CACHE}" if lack.errnos & _OF_DISK else lack.remedy)
    return MachineError(f"the cache of compiled plugins cannot be used: {text.strip()}", _CACHE)


@contextlib.contextmanager
def machine_faults(plugin: str = "", doing: str = "") -> Iterator[None]:
    """Raise ``MachineError`` for what is the machine's fault in the block, and all else as it is."""
    try:
        yield
    except Exception as error:
        found = machine_error(error, plugin, doing)
        if found is None:
            raise
        raise found from error


def _errno_of(error: BaseException) -> int:
    """The system's number for what was raised; 0 if it has none."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return errno.EAGAIN
    # Those of ``ssl`` and ``socket`` have numbers of their own, and what would block lacks nothing.
    if not isinstance(error, OSError) or isinstance(error, BlockingIOError) or type(error).__module__ != "builtins":
        return 0
    return error.errno or 0


def _origins(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came of: libraries raise their own instead, alone, or one for several.

    One of this project's has been judged already.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, CompatError):
        if isinstance(seen, BaseExceptionGroup):
            for one in seen.exceptions:
                yield from _origins(one)
        yield seen
        seen = seen.__cause__ or seen.__context__


def remedy_of(error: OSError) -> str:
    """What helps against an error of the system; empty if it lacks nothing."""
    lack = _BY_ERRNO.get(_errno_of(error))
    return "" if lack is None else lack.remedy
