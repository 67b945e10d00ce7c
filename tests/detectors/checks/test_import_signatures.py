from __future__ import annotations

import pytest

from detectors.checks.imports import wrong_import_signature
from detectors.module import FunctionType
from detectors.rules import HOST_FUNCTIONS, KERNEL_NAMESPACE, POINTER_LENGTH_ABI, WASI_NAMESPACE
from tests.detectors.checks.finding import OFFSET, findings, importing, importing_one


def test_the_other_abi_of_the_same_names_is_told_and_not_guessed() -> None:
    (found,) = findings(wrong_import_signature, importing_one("env", "ws_send", POINTER_LENGTH_ABI))
    assert (found.subject, found.severity) == ("import env ws_send", None)
    assert found.message == (
        "The module imports env ws_send as (i32, i32) -> i64, the (ptr, length) ABI of another SDK; the host function "
        "is (i64) -> i64."
    )
    assert found.remedy.startswith("Declare it as (i64) -> i64: ")


def test_a_host_function_of_another_signature_is_told_the_shape_of_its_request() -> None:
    for function in HOST_FUNCTIONS:
        (found,) = findings(wrong_import_signature, importing_one("env", function.name, FunctionType()))
        if function.name == "time_now":
            assert found.remedy == (
                "Declare it as (i64) -> i64; its argument is 0, its result the offset of a JSON text in Extism memory."
            )
        else:
            assert function.request.startswith('{"'), function.name
            assert found.remedy == (
                "Declare it as (i64) -> i64: its argument is the offset of a JSON request in Extism memory, "
                f"{function.request}, its result that of the JSON reply."
            )


def test_any_other_signature_of_a_host_function() -> None:
    (found,) = findings(
        wrong_import_signature, importing_one("extism:host/user", "time_now", FunctionType((), ("i64",)))
    )
    assert found.message == (
        "The module imports extism:host/user time_now as () -> i64; the host function is (i64) -> i64."
    )


def test_the_log_without_a_result_is_accepted_but_another_function_is_not() -> None:
    silent = FunctionType(("i64",), ())
    assert findings(wrong_import_signature, importing_one("env", "log_record", silent)) == []
    assert len(findings(wrong_import_signature, importing_one("env", "ws_send", silent))) == 1


def test_two_accepted_signatures_of_one_function_cannot_both_be_served() -> None:
    silent = FunctionType(("i64",), ())
    both = [("env", "log_record", silent), ("env", "log_record", OFFSET), ("env", "log_record", silent)]
    (found,) = findings(wrong_import_signature, importing(*both))
    assert found.subject == "import env log_record"
    assert found.message == (
        "The module imports env log_record twice, as (i64) -> () and as (i64) -> i64; a module can be served one of "
        "them."
    )
    assert found.remedy == "Declare it once, as (i64) -> i64."
    elsewhere = [("env", "log_record", silent), ("extism:host/user", "log_record", OFFSET)]
    assert findings(wrong_import_signature, importing(*elsewhere)) == []
    assert findings(wrong_import_signature, importing(*[("env", "log_record", silent)] * 2)) == []


@pytest.mark.parametrize(
    ("namespace", "name", "right"),
    [(KERNEL_NAMESPACE, "store_u8", "(i64, i32) -> ()"), (WASI_NAMESPACE, "proc_exit", "(i32) -> ()")],
)
def test_the_runtimes_functions_have_one_signature(namespace: str, name: str, right: str) -> None:
    wrong = FunctionType(("i32", "i32"), ("i64",))
    (found,) = findings(wrong_import_signature, importing_one(namespace, name, wrong))
    assert found.message == f"The module imports {namespace} {name} as (i32, i32) -> i64; what is offered is {right}."
    assert found.remedy == f"Declare {name} as {right}, or update the PDK that declares it."


def test_a_signature_without_end_is_cut() -> None:
    (found,) = findings(wrong_import_signature, importing_one("env", "ws_send", FunctionType(("i32",) * 1_000)))
    assert "…" in found.message
    assert len(found.message) < 300
