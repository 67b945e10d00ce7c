from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import module
from detectors.bounds import InspectionBounds
from detectors.formats import HEADER, ModuleError
from detectors.module import (
    Export,
    ExternType,
    FunctionType,
    Import,
    ModuleInterface,
    OtherType,
    read_module,
)
from detectors.sections import Limits, Sections, read_sections
from detectors.segments import Misplaced
from detectors.toolchain import Toolchain
from tests.detectors.encoding import custom, module_of, section
from tests.detectors.examples import few_and_many
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

ENGINE = wasmtime.Engine()
KINDS: dict[type, str] = {
    wasmtime.MemoryType: "memory",
    wasmtime.TableType: "table",
    wasmtime.GlobalType: "global",
    wasmtime.TagType: "tag",
}

MODULES = {
    "nothing": "(module)",
    "imports of all kinds": """(module
        (import "env" "f" (func (param i32 i64) (result f32)))
        (import "env" "t" (table 1 2 funcref))
        (import "env" "m" (memory 1))
        (import "env" "g" (global (mut i64)))
        (import "env" "x" (tag (param i32)))
        (import "extism:host/user" "f" (func)))""",
    "exported imports": """(module
        (import "a" "g" (global i32))
        (import "a" "f" (func $f (param i64) (result i64)))
        (import "a" "m" (memory $m 1))
        (func $own (param f64))
        (export "f" (func $f)) (export "m" (memory $m)) (export "own" (func $own)) (export "g" (global 0)))""",
    "exports of all kinds": """(module
        (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 7))
        (tag (export "x") (param i32 i64)) (func (export "f") (result i32) i32.const 0))""",
    "multi-value": '(module (func (export "f") (param i32) (result i32 i64 f32 f64) unreachable))',
    "one function under three names": """(module
        (func $f (export "a") (export "b") (result i32) i32.const 0) (export "" (func $f)))""",
    "references": '(module (func (export "f") (param externref funcref) (result externref) ref.null extern))',
    "memory64": '(module (import "a" "m" (memory i64 1)) (memory (export "m") i64 1 70000))',
    "several memories and tables": """(module (import "a" "m" (memory 1)) (memory (export "own") 2 3)
        (table (export "first") 1 funcref) (table (export "second") 2 externref) (export "m" (memory 0)))""",
    "start section": '(module (func $s (loop br 0)) (start $s) (func (export "f") (param i32)))',
    "data, elements and code": """(module
        (memory 1) (data (i32.const 0) "hello") (table 2 funcref) (elem (i32.const 0) $a $b)
        (func $a) (func $b (result i32) i32.const 1) (export "b" (func $b)))""",
    "many types": "(module " + " ".join(f"(type (func (param {'i32 ' * n})))" for n in range(200))
        + '(func (type 199)) (func (export "f") (type 150)))',
    "names beyond ASCII": '(module (import "größe" "\\u{1f600}" (func)) (func (export "\\00\\n")))',
}  # fmt: skip


def _wasmtimes_reading(data: bytes) -> tuple[tuple[Import, ...], tuple[Export, ...]]:
    """What wasmtime itself says after compiling the whole module."""

    def extern(found: wasmtime.ImportType | wasmtime.ExportType) -> ExternType:
        kind = found.type
        if not isinstance(kind, wasmtime.FuncType):
            return OtherType(KINDS[type(kind)])
        # The binding calls externref by its old name.
        params, results = ([str(t).replace("anyref", "externref") for t in ts] for ts in (kind.params, kind.results))
        return FunctionType(tuple(params), tuple(results))

    compiled = wasmtime.Module(ENGINE, data)
    return (
        tuple(Import(item.module, item.name or "", extern(item)) for item in compiled.imports),
        tuple(Export(item.name, extern(item)) for item in compiled.exports),
    )


def _is_readable_by_wasmtimes_binding(found: ModuleInterface) -> bool:
    """Whether the binding can name all the types; at others it ends the process."""
    plain = {"i32", "i64", "f32", "f64", "funcref", "externref"}
    types = [*(item.type for item in found.imports), *(item.type for item in found.exports)]
    return all(plain.issuperset((*t.params, *t.results)) for t in types if isinstance(t, FunctionType))


@pytest.mark.parametrize("name", MODULES)
def test_the_interface_is_the_one_wasmtime_reads(name: str) -> None:
    data = bytes(wasmtime.wat2wasm(MODULES[name]))
    found = read_module(data)
    assert (found.imports, found.exports) == _wasmtimes_reading(data)


@few_and_many(60, 1_000)
def test_a_damaged_module_is_refused_or_read_as_wasmtime_reads_it(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        st.sampled_from([bytes(wasmtime.wat2wasm(text)) for text in MODULES.values()]),
        st.lists(st.tuples(st.integers(8, 400), st.integers(0, 7)), min_size=1, max_size=2),
    )
    def is_refused_or_read(data: bytes, flips: list[tuple[int, int]]) -> None:
        damaged = bytearray(data)
        for at, bit in flips:
            damaged[at % len(data)] ^= 1 << bit
        try:
            found = read_module(bytes(damaged))
        except ModuleError as error:
            assert error.slug in {"invalid-module", "truncated", "not-wasm", "component"}  # noqa: PT017 - a refusal
        else:
            if _is_readable_by_wasmtimes_binding(found):
                assert (found.imports, found.exports) == _wasmtimes_reading(bytes(damaged))

    is_refused_or_read()


def test_types_at_which_wasmtimes_binding_ends_the_process_are_read() -> None:
    data = wasmtime.wat2wasm("""(module
        (type $s (struct (field i32)))
        (import "a" "simd" (func (param v128)))
        (import "a" "gc" (func (param anyref (ref $s)) (result (ref null $s))))
        (func (export "exception") (param exnref)))""")
    found = read_module(bytes(data))
    assert [str(item.type) for item in found.imports] == ["(v128) -> ()", "(anyref, (ref 0)) -> (ref null 0)"]
    assert [str(item.type) for item in found.exports] == ["(exnref) -> ()"]


def test_nothing_is_compiled(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    data = build(["meta"])

    def compiled(*_: object) -> None:
        raise AssertionError("a module was compiled")

    monkeypatch.setattr(wasmtime.Module, "__init__", compiled)
    with pytest.raises(AssertionError):
        wasmtime.Module(ENGINE, data)
    assert read_module(data).export("meta") == Export("meta", FunctionType((), ("i32",)))


def test_size_and_digest_are_those_of_the_bytes(build: Build) -> None:
    data = build(["meta"])
    found = read_module(data)
    assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert read_module(data, sha256="known").sha256 == "known"


def test_the_toolchain_is_told_where_the_module_tells(build: Build) -> None:
    assert read_module(build()).toolchain is None
    assert read_module(build(extra='(@custom "go:buildid" "x")')).toolchain == Toolchain("Go")


def test_memories_tables_and_the_start_are_told(build: Build) -> None:
    found = read_module(build(extra="(memory 1 2 shared) (memory i64 3) (table 4 funcref) (func $f) (start $f)"))
    assert found.memories == (Limits(1, shared=True), Limits(3, wide=True))
    assert found.tables == (Limits(4),)
    assert found.starts
    assert not read_module(build()).starts


def test_those_that_are_imported_are_not_the_modules_own() -> None:
    text = '(module (import "a" "m" (memory 1)) (import "a" "t" (table 1 funcref)))'
    found = read_module(bytes(wasmtime.wat2wasm(text)))
    assert (found.memories, found.tables) == ((), ())


def test_contents_that_do_not_fit_are_told(build: Build) -> None:
    found = read_module(build(extra='(memory 1) (table 1 funcref) (elem (i32.const 2) func) (data (i32.const -1) "a")'))
    assert found.misplaced == (Misplaced("element", 0, 2, 0, 1), Misplaced("data", 0, 2**32 - 1, 1, 65_536))
    assert read_module(build()).misplaced == ()


def test_debug_information_is_measured() -> None:
    sections = [custom(b".debug_line", bytes(10)), custom(b"x", bytes(20)), custom(b"name", b"")]
    found = read_module(module_of(*sections))
    assert (found.dwarf_size, found.names_size) == (len(sections[0]), len(sections[2]))


def test_an_export_is_found_by_name(build: Build) -> None:
    found = read_module(build(["meta", "init"]))
    assert found.export("init") == found.exports[1]
    assert found.export("shutdown") is None


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (FunctionType(), "() -> ()"),
        (FunctionType(("i64",), ("i64",)), "(i64) -> i64"),
        (FunctionType(("i32", "i32"), ("i64", "f32")), "(i32, i32) -> (i64, f32)"),
        (OtherType("memory"), "memory"),
    ],
)
def test_types_read_as_text(type_: ExternType, text: str) -> None:
    assert str(type_) == text


def test_validation_fails_with_wasmtimes_words(build: Build) -> None:
    data = build(["meta"])
    with pytest.raises(ModuleError, match=r"validation failed: .*offset 0x") as caught:
        read_module(data[:-2] + b"\xfa" + data[-1:])  # an unknown instruction
    assert caught.value.slug == "invalid-module"
    assert "\n" not in caught.value.message


def test_a_module_that_is_cut_off_is_told_so(build: Build) -> None:
    with pytest.raises(ModuleError, match="cut off") as caught:
        read_module(build(["meta"])[:-1])
    assert caught.value.slug == "truncated"


def test_a_module_without_its_last_sections_is_invalid(build: Build) -> None:
    whole = build(["meta"])
    code = whole.rindex(b"\x0a\x06\x01")
    with pytest.raises(ModuleError) as caught:
        read_module(whole[:code])
    assert caught.value.slug == "invalid-module"


def test_a_module_beyond_the_bound_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = InspectionBounds(max_size=8)
    assert read_module(HEADER, bounds=bounds).size == 8

    def looked_at(*_: object) -> None:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(wasmtime.Module, "validate", looked_at)
    monkeypatch.setattr(module, "read_sections", looked_at)
    with pytest.raises(ModuleError, match="larger than 8 bytes") as caught:
        read_module(HEADER + b"\0\1\0", bounds=bounds)
    assert caught.value.slug == "too-large"


def test_a_module_is_validated_on_another_thread_while_it_is_read(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = build(["meta"])
    validating, reading = threading.Event(), threading.Event()
    threads: dict[str, int] = {}
    validate = wasmtime.Module.validate

    def validated(engine: wasmtime.Engine, wasm: bytes) -> None:
        threads["validates"] = threading.get_ident()
        validating.set()
        assert reading.wait(HANG)  # it can only begin before this ends if both go on at once
        validate(engine, wasm)

    def read(data: bytes, customs: frozenset[str], bounds: InspectionBounds) -> Sections:
        threads["reads"] = threading.get_ident()
        assert validating.wait(HANG)
        reading.set()
        return read_sections(data, customs, bounds)

    monkeypatch.setattr(wasmtime.Module, "validate", validated)
    monkeypatch.setattr(module, "read_sections", read)
    assert read_module(data, bounds=InspectionBounds(validation_timeout=HANG)).export("meta") is not None
    assert threads["reads"] == threading.get_ident() != threads["validates"]


def test_no_thread_is_left_behind(build: Build) -> None:
    before = set(threading.enumerate())
    read_module(build())
    with pytest.raises(ModuleError):
        read_module(HEADER + b"\x01")
    for thread in set(threading.enumerate()) - before:
        thread.join(HANG)  # its verdict is there, but it may not yet have ended
        assert not thread.is_alive()


def test_the_validating_thread_keeps_no_process_from_ending(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(wasmtime.Module, "validate", lambda *_: threads.append(threading.current_thread()))
    read_module(build())
    assert [thread.daemon for thread in threads] == [True]


@pytest.mark.parametrize(
    "sections",
    [
        section(1, b"\x01\x60\x01\x50\x00"),  # a value type that there is not, which the reader would say as well
        section(1, b"\x01\x60"),
        section(3, b"\x01\x00"),
        section(0, b"\0") * 10_001 + section(3, b"\x01\x00"),
    ],
    ids=["unknown", "cut", "incomplete", "too large as well"],
)
def test_what_is_invalid_is_told_in_wasmtimes_words_whatever_the_reader_made_of_it(sections: bytes) -> None:
    with pytest.raises(ModuleError, match=r"validation failed: .*offset 0x") as caught:
        read_module(module_of(sections))
    assert caught.value.slug == "invalid-module"


def test_a_failure_of_the_validator_itself_is_no_verdict(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(wasmtime.Module, "validate", failing)
    with pytest.raises(MemoryError, match="no more"):
        read_module(build())


def test_a_valid_module_with_too_many_sections_is_told_so() -> None:
    with pytest.raises(ModuleError, match="more than 10,000 sections") as caught:
        read_module(module_of(custom(b"x") * 10_001))
    assert caught.value.slug == "too-large"


@pytest.mark.parametrize("error", [ValueError("an odd one"), IndexError("an odd one"), KeyError("an odd one")])
def test_whatever_the_reader_cannot_read_of_a_valid_module_is_told(
    build: Build, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: object) -> tuple[Misplaced, ...]:
        raise error

    monkeypatch.setattr(module, "misplaced", failing)
    with pytest.raises(ModuleError, match=r"cannot be read: .*an odd one") as caught:
        read_module(build())
    assert caught.value.slug == "invalid-module"
    assert caught.value.__cause__ is error


def test_a_valid_module_in_an_unknown_encoding_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> Sections:
        raise ValueError("the unknown type form 0x00")

    monkeypatch.setattr(module, "read_sections", unknown)
    with pytest.raises(ModuleError, match=r"cannot be read: the unknown type form 0x00") as caught:
        read_module(build())
    assert caught.value.slug == "invalid-module"


def test_a_function_whose_type_is_none_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Sections(types=(None,), imports=(("env", "f", "function", 0),))
    monkeypatch.setattr(module, "read_sections", lambda *_: wrong)
    with pytest.raises(ModuleError, match="type 0 is not that of a function"):
        read_module(build())
