from __future__ import annotations

from pathlib import Path

import pytest
import wasmtime
from hypothesis import example, given
from hypothesis import strategies as st

from detectors.binary import Reader
from detectors.formats import HEADER
from detectors.sections import read_sections
from detectors.toolchain import CUSTOM_SECTIONS, SDKS, Sdk, Toolchain, recognise
from tests.detectors.encoding import custom, leb, module_of, producers, section

ROOT = Path(__file__).resolve().parents[2]
GO_FILES = [
    *sorted((ROOT / "compat/demo/plugins").glob("*.wasm")),
    *sorted((ROOT / "fixtures/plugins").glob("*/plugin.wasm")),
]
COMMON, GO_PDK, RUST_PDK = SDKS
GO = Toolchain("Go", "go1.26.8", (Sdk(GO_PDK, "v1.1.3"),))

BEGINS = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
ENDS = bytes.fromhex("f932433186182072008242104116d8f2")


def _recognised(data: bytes) -> Toolchain | None:
    return recognise(data, read_sections(data, CUSTOM_SECTIONS))


def _of(*entries: tuple[str, str], data: bytes = b"") -> Toolchain | None:
    """What a module is of that has a producers section, and data."""
    return _recognised(module_of(_data(data), custom(b"producers", producers(*entries))))


def _data(contents: bytes) -> bytes:
    return section(11, b"\x01\x01" + leb(len(contents)) + contents)


def _exports(*names: str) -> bytes:
    written = b"".join(leb(len(name)) + name.encode() + b"\0" + leb(index) for index, name in enumerate(names))
    return module_of(section(7, leb(len(names)) + written))


def _stripped(data: bytes) -> bytes:
    """The module without its custom sections, as wasm-strip leaves it."""
    kept = [HEADER]
    reader = Reader(data, len(HEADER))
    while reader.at < len(data):
        start, identity = reader.at, reader.byte()
        reader.take(reader.number())
        kept.append(data[start : reader.at] if identity else b"")
    return b"".join(kept)


def _build_information(*lines: str) -> bytes:
    return BEGINS + "\n".join(["path\tcommand-line-arguments", *lines, ""]).encode() + ENDS


@pytest.mark.parametrize("file", GO_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_real_go_plugin_tells_its_version_and_its_sdk(file: Path) -> None:
    assert _recognised(file.read_bytes()) == GO


def test_a_real_go_plugin_tells_as_much_when_it_is_stripped() -> None:
    data = GO_FILES[0].read_bytes()
    stripped = _stripped(data)
    assert len(stripped) < len(data)
    assert read_sections(stripped).custom_sizes == ()
    assert _recognised(stripped) == GO


def test_a_real_rust_plugin_is_told_by_its_data_where_it_is_stripped() -> None:
    data = (ROOT / "fixtures/rust/generic/plugin.wasm").read_bytes()
    assert "producers" not in read_sections(data, frozenset({"producers"})).customs
    assert _recognised(data) == Toolchain("Rust", None, (Sdk(RUST_PDK, "1.4.1"),))


def test_a_real_assemblyscript_plugin_is_told_by_its_data() -> None:
    data = (ROOT / "fixtures/assemblyscript/legacy-callback/plugin.wasm").read_bytes()
    assert read_sections(data).custom_sizes == ()
    assert _recognised(data) == Toolchain("AssemblyScript")


def _importing(namespace: str, name: str, signature: str) -> Toolchain | None:
    text = f'(module (import "{namespace}" "{name}" {signature}))'
    return _recognised(bytes(wasmtime.wat2wasm(text)))


def test_assemblyscript_without_data_is_told_by_what_a_failed_assertion_calls() -> None:
    assert _importing("env", "abort", "(func (param i32 i32 i32 i32))") == Toolchain("AssemblyScript")


@pytest.mark.parametrize(
    ("namespace", "name", "signature"),
    [
        ("env", "abort", "(func)"),
        ("env", "abort", "(func (param i32 i32 i32))"),
        ("env", "abort", "(func (param i32 i32 i32 i64))"),
        ("env", "abort", "(func (param i32 i32 i32 i32) (result i32))"),
        ("env", "abort", "(memory 1)"),
        ("host", "abort", "(func (param i32 i32 i32 i32))"),
        ("env", "_abort", "(func (param i32 i32 i32 i32))"),
    ],
)
def test_another_abort_tells_nothing(namespace: str, name: str, signature: str) -> None:
    assert _importing(namespace, name, signature) is None


def test_what_a_compiler_says_of_itself_goes_before_what_is_imported() -> None:
    data = bytes(wasmtime.wat2wasm('(module (import "env" "abort" (func (param i32 i32 i32 i32))))'))
    assert _recognised(data + custom(b"producers", producers(("rustc", "1.90.0")))) == Toolchain("Rust", "1.90.0")


def test_a_real_zig_plugin_that_is_stripped_tells_nothing() -> None:
    assert _recognised((ROOT / "fixtures/zig/generic-blocking/plugin.wasm").read_bytes()) is None


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("Go cmd/compile", "go1.26.8")], Toolchain("Go", "go1.26.8")),
        ([("clang", "18.1.2"), ("TinyGo", "0.39.0")], Toolchain("TinyGo", "0.39.0")),
        ([("clang", "18.1.2"), ("rustc", "1.80.0 (0514789 2024)")], Toolchain("Rust", "1.80.0")),
        ([("clang", "18.1.2"), ("Zig", "0.14.1")], Toolchain("Zig", "0.14.1")),
        ([("clang", "18.1.2")], Toolchain("C/C++", "18.1.2")),
        ([("clang", "18.1.2 (https://github.com/llvm a1b2)")], Toolchain("C/C++", "18.1.2")),
        ([("AssemblyScript", "")], Toolchain("AssemblyScript")),
        ([("Go cmd/compile", "\x1b[2J")], Toolchain("Go")),
        ([("Go cmd/compile", "go1\n26")], Toolchain("Go")),
        ([("something", "1")], None),
        ([("my clang", "1")], None),
        ([], None),
    ],
)
def test_the_producers_section_names_the_toolchain(entries: list[tuple[str, str]], expected: Toolchain | None) -> None:
    assert _of(*entries) == expected


@pytest.mark.parametrize("cut", [b"", b"\x08go1"], ids=["no version", "half a version"])
def test_a_producers_section_that_ends_early_still_names_it(cut: bytes) -> None:
    found = _recognised(module_of(custom(b"producers", b"\x0eGo cmd/compile" + cut)))
    assert found == Toolchain("Go", cut[1:].decode() or None)


def test_the_producers_section_goes_before_the_data() -> None:
    assert _of(("clang", "18.1.2"), data="~lib/rt/itcms".encode("utf-16-le")) == Toolchain("C/C++", "18.1.2")


@pytest.mark.parametrize("name", ["go:buildid", "go.buildid"])
def test_gos_build_identity_section_is_enough(name: str) -> None:
    assert _recognised(module_of(custom(name.encode()))) == Toolchain("Go")


def test_gos_version_is_found_in_its_data() -> None:
    contents = b"x\0go1.999\0y" + BEGINS + b"go1.1\0" + ENDS
    assert _recognised(module_of(_data(contents))) == Toolchain("Go", "go1.999")


@pytest.mark.parametrize("version", ["go1.21", "go1.26.8", "go1.27rc1", "go1.27beta2"])
def test_every_form_of_gos_version_is_read(version: str) -> None:
    contents = b"\0" + version.encode() + b"\0" + BEGINS
    assert _recognised(module_of(_data(contents))) == Toolchain("Go", version)


@pytest.mark.parametrize("version", ["go2", "go1.26.8\x1b[2J", "go1.26.8-custom", "go1.1234"])
def test_what_is_no_version_of_go_is_none(version: str) -> None:
    contents = b"\0" + version.encode() + b"\0" + BEGINS
    assert _recognised(module_of(_data(contents))) == Toolchain("Go")


def test_go_is_told_by_its_data_alone() -> None:
    data = module_of(section(10, BEGINS), custom(b"x", b"\0go1.26.8\0" + BEGINS))
    assert _recognised(data) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"dep\t{GO_PDK}\tv1.1.3\th1:abc="], [Sdk(GO_PDK, "v1.1.3")]),
        ([f"dep\t{GO_PDK}\tv1.1.3"], [Sdk(GO_PDK, "v1.1.3")]),
        (
            [f"dep\t{GO_PDK}\tv1.1.3\th1:abc=", "dep\tgithub.com/other\tv9", f"dep\t{COMMON}\tv0.2.0\th1:d="],
            [Sdk(COMMON, "v0.2.0"), Sdk(GO_PDK, "v1.1.3")],
        ),
        ([f"mod\t{GO_PDK}\tv1.1.3"], []),
        ([f"dep\t{GO_PDK}/sub\tv1.1.3"], []),
        ([f"build\t-ldflags=dep\t{GO_PDK}\tv1"], []),
        ([f"dep\t{GO_PDK}\t\x1b]0;owned\x07"], []),
        ([f"dep\t{GO_PDK}\tv1\x1b[31m\th1:abc="], []),
        ([f"dep\t{GO_PDK}\tv1\u202e"], []),
        ([f"dep\t{GO_PDK}\tv1\r"], []),
        (["dep", "dep\t", "\t\t\t", "=>\tx\ty"], []),
        ([], []),
    ],
)
def test_the_sdks_are_read_from_gos_build_information(lines: list[str], expected: list[Sdk]) -> None:
    found = _recognised(module_of(_data(b"\0go1.26.8\0" + _build_information(*lines))))
    assert found == Toolchain("Go", "go1.26.8", tuple(expected))
    assert _of(("Go cmd/compile", "go1.26.8"), data=_build_information(*lines)) == found


# What stands where a version should: mostly such as might be one. No letters, of which a mark could be made.
WRITTEN = st.text("v01.2+- (\x1b\x7f\u202e\t\n", max_size=80).map(str.encode) | st.binary(max_size=90).map(
    lambda written: bytes(byte for byte in written if not chr(byte).isalpha())
)


@given(WRITTEN)
@example(b"v" * 80)
@example(b"v" * 81)
def test_a_version_of_an_sdk_is_printable_and_no_longer_than_a_line_or_it_is_none(written: bytes) -> None:
    line = b"dep\t" + GO_PDK.encode() + b"\t" + written
    found = _recognised(module_of(_data(BEGINS + line + b"\n" + ENDS)))
    version = written.partition(b"\n")[0].partition(b"\t")[0].decode(errors="replace")
    is_one = version.isprintable() and 0 < len(version) <= 80
    assert found == Toolchain("Go", None, (Sdk(GO_PDK, version),) if is_one else ())


@given(WRITTEN)
def test_a_version_of_a_toolchain_is_printable_or_it_is_none(written: bytes) -> None:
    body = b"\x0eGo cmd/compile" + bytes([len(written)]) + written
    version = written.partition(b" (")[0].decode("ascii", errors="replace")
    assert _recognised(module_of(custom(b"producers", body))) == Toolchain(
        "Go", version if version.isprintable() and version else None
    )


@pytest.mark.parametrize(
    "contents",
    [
        BEGINS,
        _build_information(f"dep\t{GO_PDK}\tv1.1.3").removesuffix(ENDS),
        _build_information(f"dep\t{GO_PDK}\tv1.1.3")[:-1],
        BEGINS + f"dep\t{GO_PDK}\tv1.1.3\n".encode() + bytes(1 << 16) + ENDS,
        ENDS + BEGINS,
    ],
    ids=["the beginning alone", "without an end", "half an end", "an end too far away", "the end first"],
)
def test_truncated_build_information_tells_no_sdk(contents: bytes) -> None:
    assert _recognised(module_of(_data(contents))) == Toolchain("Go")


def test_the_sdk_of_rust_is_read_from_a_path_of_its_sources() -> None:
    path = b"/home/author/.cargo/registry/src/index-6f17d22bba15001f/extism-pdk-1.4.1/src/lib.rs"
    assert _of(("rustc", "1.88.0"), data=path) == Toolchain("Rust", "1.88.0", (Sdk(RUST_PDK, "1.4.1"),))
    assert _of(("rustc", "1.88.0"), data=b"/extism-pdk-derive-1.4.1/") == Toolchain("Rust", "1.88.0")
    assert _of(("clang", "18.1.2"), data=path) == Toolchain("C/C++", "18.1.2")


def test_javascript_and_haskell_are_told_by_what_their_runtimes_export() -> None:
    assert _recognised(_exports("__arg_start", "__invoke", "start_stream")) == Toolchain("JavaScript")
    assert _recognised(_exports("hs_init", "start_stream")) == Toolchain("Haskell")
    assert _recognised(_exports("__arg_start", "start_stream")) is None
    assert _recognised(_exports("hs_init_", "start_stream")) is None


def test_a_runtime_hides_the_compiler_that_built_it() -> None:
    rust = custom(b"producers", producers(("rustc", "1.88.0")))
    assert _recognised(_exports("__arg_start", "__invoke") + rust) == Toolchain("JavaScript")


def test_assemblyscript_is_told_by_the_names_of_its_library() -> None:
    assert _recognised(module_of(_data("~lib/rt/itcms.ts".encode("utf-16-le")))) == Toolchain("AssemblyScript")
    assert _recognised(module_of(_data(b"~lib/rt/itcms.ts"))) is None


@pytest.mark.parametrize(("before", "is_found"), [(15 << 20, True), (16 << 20, False)])
def test_marks_are_looked_for_in_the_beginning_of_a_huge_data_section(before: int, *, is_found: bool) -> None:
    found = _recognised(module_of(_data(bytes(before) + b"\0go1.26.8\0" + BEGINS)))
    assert found == (Toolchain("Go", "go1.26.8") if is_found else None)


def test_no_mark_means_no_answer() -> None:
    assert _recognised(module_of(_data(b"\0go1.26.8\0 golang"))) is None
    assert _recognised(HEADER) is None


def test_it_reads_as_text() -> None:
    assert str(Toolchain("Go", "go1.26.8")) == "Go 1.26.8"
    assert str(Toolchain("Rust", "1.80.0")) == "Rust 1.80.0"
    assert str(Toolchain("Rust")) == "Rust"
    assert str(Sdk(GO_PDK, "v1.1.3")) == "github.com/extism/go-pdk v1.1.3"
