from __future__ import annotations

import pytest

from detectors.module import FunctionType
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_HTTP, WASI_FUNCTIONS

TABLES = {"kernel": KERNEL_FUNCTIONS, "WASI": WASI_FUNCTIONS}


@pytest.mark.parametrize("table", TABLES)
def test_names_are_those_of_functions_and_types_are_numbers(table: str) -> None:
    for name, signature in TABLES[table].items():
        assert name.isidentifier()
        assert name.islower()
        assert {*signature.params, *signature.results} <= {"i32", "i64"}
        assert len(signature.results) <= 1


def test_there_are_as_many_as_the_runtime_has() -> None:
    assert (len(KERNEL_FUNCTIONS), len(WASI_FUNCTIONS)) == (26, 46)


@pytest.mark.parametrize(
    ("table", "name", "text"),
    [
        ("kernel", "alloc", "(i64) -> i64"),
        ("kernel", "free", "(i64) -> ()"),
        ("kernel", "store_u8", "(i64, i32) -> ()"),
        ("kernel", "input_length", "() -> i64"),
        ("kernel", "input_offset", "() -> i64"),
        ("kernel", "http_status_code", "() -> i32"),
        ("WASI", "sched_yield", "() -> i32"),
        ("WASI", "proc_exit", "(i32) -> ()"),
        ("WASI", "fd_write", "(i32, i32, i32, i32) -> i32"),
        ("WASI", "fd_seek", "(i32, i64, i32, i32) -> i32"),
        ("WASI", "path_open", "(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> i32"),
    ],
)
def test_a_signature_reads_as_it_was_written(table: str, name: str, text: str) -> None:
    assert str(TABLES[table][name]) == text


def test_every_wasi_function_but_the_one_that_ends_the_process_returns_an_error_number() -> None:
    assert {name for name, found in WASI_FUNCTIONS.items() if found.results != ("i32",)} == {"proc_exit"}


def test_the_http_functions_are_of_the_kernel() -> None:
    assert {name for name in KERNEL_FUNCTIONS if name.startswith("http_")} == KERNEL_HTTP
    assert KERNEL_FUNCTIONS["http_request"] == FunctionType(("i64", "i64"), ("i64",))
