"""What is changed in a guest and what is not, over every module that there is, and over random ones."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime
from hypothesis import given, settings

from adapters.companion.rewriting import RewrittenGuest, rewrite
from adapters.runtime.errors import CompanionError
from benchmarks.fuzz import mutant
from detectors.catalogue import CATALOGUE
from detectors.companion import REFUSED, shape_of_sections, without_shim
from detectors.formats import HEADER
from detectors.framing import SectionId
from detectors.module import FunctionType
from detectors.report import inspect
from detectors.rules import EXPORT_TYPE, HOST_FUNCTIONS, KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS
from detectors.sections import read_sections
from fixtures.diagnostics import SLUGS, near_miss, raises
from tests.adapters.companion.linked import validates
from tests.detectors.any_module import ANY_EXPORTS, ANY_IMPORTS, USED, WHOLE, Foreign, Item, assembled
from tests.detectors.encoding import custom, leb, module_of, section
from tests.detectors.examples import few_and_many
from tests.support.wasm_tools import smith

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
BUILT = sorted([*(ROOT / "fixtures").glob("*/*/plugin.wasm"), *(ROOT / "compat/demo/plugins").glob("*.wasm")])
WRITTEN = sorted((ROOT / "fixtures/wat").glob("*.wat"))
REWRITTEN_SECTIONS = {SectionId.IMPORT, SectionId.EXPORT, SectionId.START}

#: The findings of what cannot be read, and of what cannot be linked.
UNREAD = {rule.slug for rule in CATALOGUE if rule.check is None}
REFUSING = {
    "reserved-name",
    "shared-memory",
    "unknown-host-function",
    "unknown-kernel-function",
    "unknown-wasi-function",
    "wasi-unstable",
    "foreign-abi",
}


def assemble(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@functools.cache
def every_module() -> dict[str, bytes]:
    """Every plugin and every fixture of the detector, by its file or its slug."""
    built = {str(path.relative_to(ROOT)): path.read_bytes() for path in BUILT}
    written = {path.stem: assemble(path.read_text()) for path in WRITTEN}
    made = {f"{slug}/{make.__name__}": make(slug) for slug in SLUGS for make in (raises, near_miss)}
    assert min(len(built), len(written), len(made)) > 5
    return {**built, **written, **made}


def bodies(data: bytes) -> list[tuple[int, bytes]]:
    """Each section's identity and body, the custom ones too, in order."""
    found, at = [], len(HEADER)
    while at < len(data):
        identity, at = data[at], at + 1
        size = shift = 0
        while True:
            byte, at = data[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append((identity, data[at : at + size]))
        at += size
    return found


def changed_in_names_only(before: bytes, after: bytes) -> None:
    """That whatever is no name is as it was, and that both new modules are valid."""
    assert validates(after)
    same = [[row for row in bodies(data) if row[0] not in REWRITTEN_SECTIONS] for data in (before, after)]
    assert same[0] == same[1]
    old, new = read_sections(before), read_sections(after)
    types = [
        [data[start:end] for start, end in sections.import_types] for data, sections in ((before, old), (after, new))
    ]
    assert types[0] == types[1]
    assert [row[2:] for row in new.imports] == [row[2:] for row in old.imports]
    assert [row[1:] for row in new.exports[: len(old.exports)]] == [row[1:] for row in old.exports]
    added = [("memory", "memory", 0)] if added_memory(before) else []
    added += [] if old.start is None else [("compat_start", "function", old.start)]
    assert list(new.exports[len(old.exports) :]) == added
    assert new.start is None


def added_memory(data: bytes) -> bool:
    sections = read_sections(data)
    return without_shim(shape_of_sections(sections)) is None and "memory" not in {row[0] for row in sections.exports}


def rewritten_or_refused(data: bytes) -> RewrittenGuest | CompanionError:
    try:
        return rewrite(data)
    except CompanionError as error:
        return error


def sound(data: bytes) -> RewrittenGuest | None:
    """Rewrite any bytes: into what validates if they do, or refused where the detector tells an error, too."""
    found = rewritten_or_refused(data)
    if isinstance(found, CompanionError):
        refusing = REFUSING if validates(data) and found.form != "unreadable" else UNREAD
        assert {told.slug for told in inspect(data).errors} & refusing
        assert found.remedy
        assert str(found).isprintable()
        return None
    if validates(data):
        assert validates(found.main)
        changed_in_names_only(data, found.wasm)
    return found


def test_of_every_module_that_there_is_only_names_are_changed() -> None:
    outcomes = {name: sound(data) for name, data in every_module().items()}
    refusals = {name for name, found in outcomes.items() if found is None}
    unreadable = {name for name, data in every_module().items() if not validates(data)}
    assert refusals - unreadable == {"reserved-name/raises", "shared-memory/raises"}
    assert refusals >= {name for name in unreadable if not every_module()[name].startswith(HEADER)}


@pytest.mark.parametrize("path", BUILT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_real_plugin_can_be_called_as_before(path: Path) -> None:
    data = path.read_bytes()
    found = rewrite(data)
    exports = inspect(data).exports
    assert found.exports == {export.name for export in exports if export.type == EXPORT_TYPE}
    assert found.shim
    reactor = any(export.name == "_initialize" for export in exports)
    starts = any(diagnostic.slug == "start-section" for diagnostic in inspect(data).diagnostics)
    assert found.initialisers == ("compat_start",) * starts + ("compat_init",) * reactor


def test_what_was_rewritten_is_not_rewritten_again() -> None:
    guests = {name: found for name, data in every_module().items() if validates(data) and (found := sound(data))}
    again = {name: rewritten_or_refused(found.wasm) for name, found in guests.items()}
    forms = {name: found.form for name, found in again.items() if isinstance(found, CompanionError)}
    assert set(forms.values()) == {"import-from-companion", "companion-export"}
    assert forms.keys() >= {str(path.relative_to(ROOT)) for path in BUILT} | {path.stem for path in WRITTEN}
    # The others have no name that was changed: at most their memory was exported, and is now.
    same = {name: found.wasm for name, found in again.items() if isinstance(found, RewrittenGuest)}
    assert same == {name: guests[name].wasm for name in same}


def text(function: FunctionType) -> str:
    params, results = (" ".join(values) for values in (function.params, function.results))
    return f"(func (param {params}) (result {results}))"


def imports_of(data: bytes) -> list[tuple[str, str]]:
    return [row[:2] for row in read_sections(data).imports]


SIGNATURE = {**KERNEL_FUNCTIONS, **WASI_FUNCTIONS}
SERVED_BY_SHIM = {"poll_oneoff", "fd_write"}
ALWAYS: list[tuple[str, str, FunctionType, tuple[str, str]]] = [
    *((KERNEL_NAMESPACE, name, type_, ("compat", f"env.{name}")) for name, type_ in KERNEL_FUNCTIONS.items()),
    *((namespace, row.name, row.type, ("compat", f"host.{row.name}")) for namespace in NAMESPACES
      for row in HOST_FUNCTIONS),
    *((namespace, row.name, also, ("compat", f"host.{row.name}.{number}")) for namespace in NAMESPACES
      for row in HOST_FUNCTIONS for number, also in enumerate(row.also, 1)),
    (WASI_NAMESPACE, "proc_exit", WASI_FUNCTIONS["proc_exit"], ("compat", "wasi.proc_exit")),
]  # fmt: skip
NEVER = [
    *((WASI_NAMESPACE, name, type_) for name, type_ in WASI_FUNCTIONS.items()
      if name not in {*SERVED_BY_SHIM, "proc_exit"}),
    ("env", "alloc", KERNEL_FUNCTIONS["alloc"]),
    ("env", "proc_exit", WASI_FUNCTIONS["proc_exit"]),
    ("wasi_unstable", "proc_exit", WASI_FUNCTIONS["proc_exit"]),
    ("elsewhere", "ws_send", FunctionType(("i64",), ("i64",))),
    ("env", "ws_sent", FunctionType(("i64",), ("i64",))),
]  # fmt: skip


@pytest.mark.parametrize("memory", ["", "(memory 1)"], ids=["alone", "with the shim"])
def test_what_the_companion_offers_is_imported_from_it(memory: str) -> None:
    items = [f'(import "{namespace}" "{name}" {text(type_)})' for namespace, name, type_, _ in ALWAYS]
    found = rewrite(assemble(f"(module {' '.join(items)} {memory})"))
    assert imports_of(found.wasm) == [new for *_, new in ALWAYS]
    assert len(ALWAYS) == len(KERNEL_FUNCTIONS) + 2 * len(HOST_FUNCTIONS) + 3


def test_what_it_does_not_offer_is_left_alone() -> None:
    items = [f'(import "{namespace}" "{name}" {text(type_)})' for namespace, name, type_ in NEVER]
    data = assemble(f'(module {" ".join(items)} (memory (export "memory") 1))')
    assert rewrite(data).wasm == data


def test_a_function_of_another_signature_stays_one_that_cannot_be_linked() -> None:
    data = assemble('(module (import "env" "log_record" (func (param i32 i32) (result i64))))')
    assert imports_of(rewrite(data).wasm) == [("compat", "host.log_record")]


@pytest.mark.parametrize(
    ("memory", "shim"),
    [
        ("(memory 1)", True),
        ('(memory (export "heap") 1) (func (export "f"))', True),
        ('(memory (export "memory") 0 10)', True),
        ("", False),
        ("(memory i64 1)", False),
        ('(memory (export "memory") 1) (memory 1)', False),
        ('(memory 1) (func (export "memory"))', False),
    ],
)
def test_wasi_s_edges_are_served_where_the_shim_is_linked(memory: str, shim: bool) -> None:
    items = [f'(import "{WASI_NAMESPACE}" "{name}" {text(WASI_FUNCTIONS[name])})' for name in sorted(SERVED_BY_SHIM)]
    data = assemble(f"(module {' '.join(items)} {memory})")
    found = rewrite(data)
    assert found.shim is shim
    served = [("compat", "wasi.fd_write"), ("compat", "wasi.poll_oneoff")]
    assert imports_of(found.wasm) == (served if shim else imports_of(data))
    changed_in_names_only(data, found.wasm)


def test_exports_that_a_linker_would_run_are_renamed_whatever_they_are() -> None:
    for what in ("(func {})", "(func {} (param i64))", "(global {} i32 (i32.const 0))", "(memory {} 1)"):
        for name, new in (("_initialize", "compat_init"), ("_start", "compat_main")):
            data = assemble("(module " + what.format(f'(export "{name}")') + ")")
            found = rewrite(data)
            assert read_sections(found.wasm).exports[0][0] == new
            changed_in_names_only(data, found.wasm)


def test_an_export_section_is_added_where_it_belongs() -> None:
    function, code = section(3, b"\1\0"), section(10, b"\1\2\0\x0b")
    before = (section(1, b"\1\x60\0\0"), function, section(5, b"\1\0\1"), custom(b"a"), section(6, b"\0"), custom(b"b"))
    for behind in ((section(8, b"\0"), code), (section(12, b"\0"), code), (code,), (section(9, b"\0"), code)):
        data = module_of(*before, *behind, custom(b"c"))
        changed_in_names_only(data, rewrite(data).wasm)
    bare = module_of(section(5, b"\1\0\1"))
    changed_in_names_only(bare, rewrite(bare).wasm)
    assert rewrite(bare).wasm == bare + section(7, b"\1" + leb(6) + b"memory\2\0")


def test_types_that_are_no_functions_are_passed_over() -> None:
    data = assemble("""(module (rec (type $s (struct (field (mut i64)))) (type $a (array (mut (ref null $s)))))
        (type $sub (sub (func (result i32)))) (import "env" "time_now" (func (param i64) (result i64)))
        (func (export "f") (type $sub) (result i32) (i32.const 0))
        (func (export "g") (result (ref null $s)) (ref.null $s)))""")
    found = sound(data)
    assert found is not None
    assert found.exports == {"f"}


REFUSALS = {
    "import-from-companion": '(import "main" "f" (func))',
    "companion-export": '(func (export "compat_"))',
    "shared-memory": "(memory 1 2 shared)",
    "imported-memory": '(import "env" "memory" (memory 1))',
    "imported-table": '(import "env" "t" (table 1 funcref))',
    "imported-global": '(import "env" "g" (global i32))',
    "imported-tag": '(import "env" "x" (tag))',
}


@pytest.mark.parametrize("form", [form.name for form in REFUSED])
def test_a_form_that_cannot_be_linked_is_refused_by_its_name(form: str) -> None:
    with pytest.raises(CompanionError, match=r"so it cannot be linked \(") as caught:
        rewrite(assemble(f"(module {REFUSALS[form]})"))
    assert caught.value.form == form
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Not a core WebAssembly module but an empty file"),
        (b"\x7fELF", "Not a core WebAssembly module but a native program"),
        (HEADER + b"\1\5", "The module is cut off"),
        (HEADER + section(1, b"\1\x41"), "The module cannot be read: the unknown type form 0x41"),
        (HEADER + section(8, b"\7"), "The module cannot be read: "),
        (HEADER + section(7, b"\1\1f\0\0"), "The module cannot be read: "),
    ],
)
def test_bytes_that_cannot_be_read_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CompanionError) as caught:
        rewrite(data)
    assert caught.value.form == "unreadable"
    assert caught.value.message.startswith(message)


@few_and_many(60, 2_000)
def test_a_module_of_any_names_is_rewritten_or_refused(examples: int) -> None:
    outcomes = set()

    @settings(max_examples=examples)
    @given(WHOLE, ANY_EXPORTS, ANY_IMPORTS | USED)
    def is_sound(whole: list[Item], others: list[Item], imports: list[Foreign]) -> None:
        names = {name for name, _ in whole}
        outcomes.add(sound(assembled([*whole, *(item for item in others if item[0] not in names)], imports)) is None)

    is_sound()
    assert outcomes == {True, False}


@functools.cache
def mutated() -> tuple[bytes, ...]:
    """What is damaged: small modules, among them those with everything that is rewritten."""
    small = [data for data in every_module().values() if data.startswith(HEADER) and len(data) < 5_000]
    full = assemble(f"""(module (import "{KERNEL_NAMESPACE}" "alloc" (func (param i64) (result i64)))
        (import "env" "log_record" (func (param i64))) (import "{WASI_NAMESPACE}" "proc_exit" (func (param i32)))
        (memory 1) (global (mut i32) (i32.const 0)) (func $start) (start $start) (table 3 funcref)
        (func (export "_initialize")) (func (export "f") (result i32) (i32.const 0)) (elem (i32.const 0) $start)
        (data (i32.const 0) "data"))""")
    return (*small, *[full] * len(small))


@few_and_many(400, 20_000)
def test_a_damaged_module_is_rewritten_or_refused(examples: int) -> None:
    outcomes: set[tuple[bool, bool]] = set()
    for seed in range(examples):
        data = mutant(seed, mutated())
        outcomes.add((validates(data), sound(data) is None))
    assert {(True, False), (False, True), (False, False)} <= outcomes


def random_modules(shape: dict[str, object]) -> Iterator[bytes]:
    return (data for seed in itertools.count() if (data := smith(seed, shape)) is not None)


SHAPES: dict[str, dict[str, object]] = {
    "small": {"max-imports": 3, "allow-start-export": True},
    "everything": {"gc-enabled": True, "exceptions-enabled": True, "memory64-enabled": True, "max-memories": 3,
                   "tail-call-enabled": True, "min-exports": 2, "max-imports": 1},
}  # fmt: skip


@pytest.mark.parametrize("count", [pytest.param(10, id="few"), pytest.param(200, id="many", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_random_module_is_rewritten_or_refused(shape: str, count: int) -> None:
    done = [sound(data) for data in itertools.islice(random_modules(SHAPES[shape]), count)]
    assert any(found is not None for found in done)
