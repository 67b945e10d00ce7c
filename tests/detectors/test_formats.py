from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import pytest
import wasmtime

from detectors.errors import PluginError
from detectors.formats import FORMATS, HEADER, ModuleError, check_format

MODULE = bytes(wasmtime.wat2wasm("(module)"))


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("plugin.wasm", MODULE)
    return file.getvalue()


WRONG = {
    "an empty file": ("not-wasm", b""),
    "the first bytes": ("truncated", MODULE[:6]),
    "a WebAssembly component": ("component", bytes(wasmtime.wat2wasm("(component)"))),
    "WebAssembly text": ("text-format", b"\xef\xbb\xbf  ;; a plugin\n(module)"),
    "gzip data": ("compressed", gzip.compress(MODULE)),
    "a zip archive": ("compressed", _zip()),
    "zstd data": ("compressed", b"\x28\xb5\x2f\xfd\x00\x01"),
    "xz data": ("compressed", lzma.compress(MODULE)),
    "bzip2 data": ("compressed", bz2.compress(MODULE)),
    "an HTML page": ("html", b"\n<!DOCTYPE html><title>404</title>"),
    "a pointer of Git LFS": ("not-wasm", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
    "a native program (ELF)": ("not-wasm", b"\x7fELF\x02\x01"),
    "a native program (Mach-O)": ("not-wasm", b"\xcf\xfa\xed\xfe\x0c"),
    "a native program (Windows)": ("not-wasm", b"MZ\x90\0\x03"),
    "plain text": ("not-wasm", "fehler: nicht gefunden, größe 0\n".encode()),
    "unknown version 2": ("not-wasm", b"\0asm\x02\0\0\0"),
    "the bytes 00 ff 00 ff": ("not-wasm", b"\0\xff\0\xff\0"),
}


def test_a_core_module_passes() -> None:
    check_format(MODULE)
    check_format(HEADER + b"anything")


@pytest.mark.parametrize("what", WRONG)
def test_it_says_what_the_bytes_really_are(what: str) -> None:
    slug, data = WRONG[what]
    with pytest.raises(ModuleError) as caught:
        check_format(data)
    assert caught.value.slug == slug
    assert what in caught.value.message
    assert caught.value.remedy.split(" ")[0] in {"Build", "Check", "Download", "Load", "Run", "Translate", "Unpack"}


def test_every_row_of_the_table_has_an_example_here() -> None:
    assert [row.what for row in FORMATS if not any(what in row.what for what in WRONG)] == []


def test_the_error_is_the_plugins_fault_and_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ModuleError("html", "a page", "look again")))
    assert issubclass(type(error), PluginError)
    assert (error.slug, error.message, error.remedy) == ("html", "a page", "look again")
    assert str(error) == "a page. look again"
