"""What counts as the machine's fault, and what does not: exceptions and texts, by one table."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import ssl

import pytest

from detectors.errors import CompatError, MachineError, NetworkError, PluginError
from detectors.machine import LACKS, Lack, machine_error, machine_error_in, machine_faults, remedy_of

FILES = "this process has too many files open"

DISK = ("there is no room left on the disk, or in its quota", "the file system is read-only")


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.what)
def test_every_lack_is_known_by_its_numbers_in_exceptions_and_in_texts(lack: Lack) -> None:
    for number in lack.errnos:
        told = machine_error_in(f"Unable to compile Extism plugin: {os.strerror(number)} (os error {number})")
        assert told is not None
        assert (told.what, told.remedy.partition(". Compiled plugins are kept")[0]) == (lack.what, lack.remedy)
        assert ("XDG_CACHE_HOME" in told.remedy) is (lack.what in DISK)  # where Extism keeps what it compiles
        if number == errno.EAGAIN:  # which files that do not block say all the time
            continue
        error = machine_error(OSError(number, os.strerror(number)), "p", "could not do it")
        assert error is not None
        assert (error.message, error.remedy) == (f"plugin 'p': could not do it: {lack.what}", lack.remedy)


def test_no_number_stands_for_two_lacks() -> None:
    numbers = [number for lack in LACKS for number in lack.errnos]
    assert len(set(numbers)) == len(numbers)


def test_what_is_the_machines_fault_tells_what_it_came_of() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    found = machine_error(error)
    assert found is not None
    assert (found.__cause__, found.remedy) == (error, "Make room")


def from_another(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


EMFILE = OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "there is no memory left"),
        (RuntimeError("can't start new thread"), "no further thread can be started"),
        (from_another(ValueError("of a library"), EMFILE), FILES),
        (from_another(OSError("all attempts failed"), ExceptionGroup("several", [OSError("another"), EMFILE])), FILES),
        (RuntimeError("dictionary changed size"), None),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), None),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (OSError("without a number"), None),
        (BlockingIOError(errno.EAGAIN, "would block"), None),
        (ssl.SSLError(errno.ENOMEM, "a number of OpenSSL's"), None),
        (socket.gaierror(errno.ENOMEM, "a number of the resolver's"), None),
        (PluginError("judged already"), None),
        (from_another(NetworkError("judged already"), EMFILE), None),
    ],
    ids=repr,
)
def test_only_what_the_machine_lacks_is_its_fault(error: BaseException, what: str | None) -> None:
    found = machine_error(error, "p")
    assert (found and found.what) == what


def test_what_is_not_known_yet_of_an_error_is_filled_in() -> None:
    inner = MachineError("no files", "close some")
    outer = machine_error(inner, "p", "could not connect")
    assert outer is not None
    assert str(outer) == "plugin 'p': could not connect: no files. close some"
    again = machine_error(outer, "q", "something else")
    assert again is not None
    assert (again.plugin, again.doing) == ("p", "could not connect")
    assert str(pickle.loads(pickle.dumps(outer))) == str(outer)


@pytest.mark.parametrize("text", ["unknown import: `env::(os error 24)` has not been defined", "", "wasm trap: x"])
def test_a_text_that_does_not_end_in_a_number_of_the_system_says_nothing_of_the_machine(text: str) -> None:
    assert machine_error_in(text) is None


def test_another_number_is_told_of_the_cache() -> None:
    told = machine_error_in("Unable to compile Extism plugin: Permission denied (os error 13)\n")
    assert told is not None
    assert told.message.startswith("the cache of compiled plugins cannot be used: ")
    assert "XDG_CACHE_HOME" in told.remedy


def test_a_block_raises_what_is_the_machines_and_leaves_all_else() -> None:
    with pytest.raises(MachineError, match="plugin 'p': this process") as caught, machine_faults("p"):
        raise EMFILE
    assert caught.value.__cause__ is EMFILE
    with pytest.raises(KeyError), machine_faults("p"):
        raise KeyError("a bug")
    assert issubclass(MachineError, CompatError)


def test_the_remedy_of_an_error_of_the_system_is_that_of_the_table() -> None:
    assert "ulimit -n" in remedy_of(EMFILE)
    assert remedy_of(FileNotFoundError(errno.ENOENT, "No such file")) == ""
