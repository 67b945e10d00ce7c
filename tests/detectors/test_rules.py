from __future__ import annotations

import pickle

import pytest

from detectors.module import FunctionType
from detectors.rules import (
    EXPORT_TYPE,
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    POINTER_LENGTH_ABI,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    Interface,
    PluginKind,
    host_function,
    interface_name,
)


def test_kinds_are_equal_and_hashed_by_name() -> None:
    third = PluginKind("third")
    assert third == PluginKind("third") != PluginKind.GENERIC
    assert len({third, PluginKind("third"), PluginKind("legacy"), PluginKind.LEGACY}) == 2


def test_a_kind_reads_as_its_name() -> None:
    assert [str(kind) for kind in (PluginKind.LEGACY, PluginKind.GENERIC, PluginKind.UNKNOWN)] == [
        "legacy",
        "generic",
        "unknown",
    ]
    assert (PluginKind.LEGACY.value, repr(PluginKind("third"))) == ("legacy", "PluginKind('third')")


def test_a_kind_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(PluginKind.LEGACY)) == PluginKind.LEGACY


def test_no_two_rows_are_of_the_same_kind_and_dialect_or_precedence() -> None:
    assert len({(row.kind, row.dialect) for row in INTERFACES}) == len(INTERFACES)
    assert len({row.precedence for row in INTERFACES}) == len(INTERFACES)


def test_no_row_is_of_the_kind_that_stands_for_none() -> None:
    assert PluginKind.UNKNOWN not in {row.kind for row in INTERFACES}


@pytest.mark.parametrize("row", INTERFACES, ids=str)
def test_a_row_names_an_export_once(row: Interface) -> None:
    assert len(set(row.exports)) == len(row.exports)
    assert set(row.exports) == {*row.marks, *row.required, *row.optional}


def test_a_row_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        Interface(PluginKind("third"), None, marks=())


def test_rows_read_as_text() -> None:
    assert [str(row) for row in INTERFACES] == [
        "generic interface",
        "legacy interface (command dialect)",
        "legacy interface (callback dialect)",
    ]


def test_an_interface_is_named_with_its_dialect_if_it_has_one() -> None:
    assert interface_name(PluginKind.GENERIC, None) == "generic interface"
    assert interface_name(PluginKind.LEGACY, "command") == "legacy interface (command dialect)"


def test_a_successor_is_a_kind_that_is_in_the_table_and_has_none_itself() -> None:
    current = {row.kind for row in INTERFACES if row.successor is None}
    assert {row.successor for row in INTERFACES if row.successor is not None} == {PluginKind.GENERIC}
    assert PluginKind.GENERIC in current
    assert PluginKind.LEGACY not in current


def test_every_export_has_the_one_signature() -> None:
    assert str(EXPORT_TYPE) == "() -> i32"


def test_host_functions_pass_one_offset_and_get_one_back() -> None:
    assert {str(function.type) for function in HOST_FUNCTIONS} == {"(i64) -> i64"}
    assert {function.name for function in HOST_FUNCTIONS if len(function.accepted) > 1} == {"log_record"}


def test_the_log_may_be_imported_without_a_result() -> None:
    log = host_function("log_record")
    assert log is not None
    assert log.accepted == (FunctionType(("i64",), ("i64",)), FunctionType(("i64",), ()))


def test_a_host_function_is_found_by_its_name() -> None:
    assert tuple(host_function(function.name) for function in HOST_FUNCTIONS) == HOST_FUNCTIONS
    assert len({function.name for function in HOST_FUNCTIONS}) == len(HOST_FUNCTIONS)


def test_other_names_are_no_host_functions() -> None:
    assert host_function("ws_conect") is None


def test_both_namespaces_are_served() -> None:
    assert NAMESPACES == ("env", "extism:host/user")


def test_no_namespace_stands_for_two_things() -> None:
    spaces = [*NAMESPACES, KERNEL_NAMESPACE, WASI_NAMESPACE, WASI_UNSTABLE]
    assert len(set(spaces)) == len(spaces)


def test_the_abi_of_other_sdks_is_never_accepted() -> None:
    assert str(POINTER_LENGTH_ABI) == "(i32, i32) -> i64"
    assert [function.name for function in HOST_FUNCTIONS if POINTER_LENGTH_ABI in function.accepted] == []
