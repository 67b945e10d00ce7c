from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detectors.checks.imports import (
    kernel_http,
    needs_wasi,
    unknown_kernel_function,
    unknown_wasi_function,
    wasi_unstable,
)
from detectors.module import FunctionType, OtherType
from detectors.rules import (
    KERNEL_NAMESPACE,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
)
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_ONLY, WASI_FUNCTIONS
from tests.detectors.checks.finding import OFFSET, findings, importing, importing_one

if TYPE_CHECKING:
    from detectors.module import ExternType


# The kernel.


@pytest.mark.parametrize(
    ("name", "type_", "remedy"),
    [
        ("ws_send", OFFSET, "Import it from env: it is a host function, not one of the kernel's."),
        (
            "input_lenght",
            KERNEL_FUNCTIONS["input_length"],
            "Import input_length if that is meant; otherwise build with a PDK for Extism 1.",
        ),
        ("input_lenght", FunctionType(("f32",), ()), "Build with a PDK for Extism 1."),
        ("zzz", OFFSET, "Build with a PDK for Extism 1."),
        ("alloc", OtherType("memory"), "Build with a PDK for Extism 1."),
    ],
)
def test_a_function_that_the_kernel_lacks(name: str, type_: ExternType, remedy: str) -> None:
    (found,) = findings(unknown_kernel_function, importing_one(KERNEL_NAMESPACE, name, type_))
    assert (found.subject, found.severity) == (f"import {KERNEL_NAMESPACE} {name}", None)
    assert found.message == (
        f"The module imports {KERNEL_NAMESPACE} {name} ({type_}), which Extism's kernel does not have."
    )
    assert found.remedy == remedy


@pytest.mark.parametrize("name", sorted(KERNEL_ONLY))
def test_a_function_that_the_kernel_has_for_its_host_alone(name: str) -> None:
    (found,) = findings(unknown_kernel_function, importing_one(KERNEL_NAMESPACE, name))
    assert found.message.endswith("which Extism's kernel keeps for its host.")
    assert found.remedy == "Remove the call that needs it: no PDK has one."


@pytest.mark.parametrize("meant", ["store_u8", "store_u64"])
def test_of_several_like_names_the_one_of_the_same_signature_is_meant(meant: str) -> None:
    (found,) = findings(unknown_kernel_function, importing_one(KERNEL_NAMESPACE, "store_u", KERNEL_FUNCTIONS[meant]))
    assert found.remedy.startswith(f"Import {meant} if that is meant")


def test_the_kernels_own_http_client() -> None:
    assert findings(kernel_http, importing_one("env", "http_request")) == []
    assert findings(kernel_http, importing_one(KERNEL_NAMESPACE, "alloc")) == []
    names = ("http_status_code", "http_request", "http_request")
    (found,) = findings(kernel_http, importing(*((KERNEL_NAMESPACE, name, OFFSET) for name in names)))
    assert found.subject == f"import {KERNEL_NAMESPACE} http_status_code"
    assert "(http_request and http_status_code), which this host blocks" in found.message
    assert found.remedy.startswith("Make requests with the host function http_request from env")
    assert '{"url", "method"' in found.remedy


# WASI.


def test_the_use_of_wasi_is_worth_knowing() -> None:
    assert findings(needs_wasi, importing_one("env", "fd_write")) == []
    (one,) = findings(needs_wasi, importing_one(WASI_NAMESPACE, "fd_write"))
    assert one.message == "The module imports 1 function of WASI preview 1, which is enabled for it."
    names = ("fd_write", "fd_read", "fd_write")
    (two,) = findings(needs_wasi, importing(*((WASI_NAMESPACE, name, OFFSET) for name in names)))
    assert two.message == "The module imports 2 functions of WASI preview 1, which is enabled for it."
    assert (two.subject, two.remedy) == ("module", "")


@pytest.mark.parametrize(
    ("name", "type_", "remedy"),
    [
        ("fd_wirte", WASI_FUNCTIONS["fd_write"], "Import fd_write if that is meant."),
        ("fd_wirte", OFFSET, "Build for plain WASI preview 1 (wasip1)."),
        ("zzz", OFFSET, "Build for plain WASI preview 1 (wasip1)."),
    ],
)
def test_a_function_that_wasi_lacks(name: str, type_: FunctionType, remedy: str) -> None:
    (found,) = findings(unknown_wasi_function, importing_one(WASI_NAMESPACE, name, type_))
    assert found.subject == f"import {WASI_NAMESPACE} {name}"
    assert found.message.endswith(f"{name} ({type_}), which WASI preview 1 does not have.")
    assert found.remedy == remedy


@pytest.mark.parametrize("name", ["sock_open", "sock_connect", "sock_recv_from"])
@pytest.mark.parametrize("type_", [OFFSET, WASI_FUNCTIONS["sock_shutdown"]], ids=str)
def test_sockets_that_wasi_lacks_are_replaced_by_host_functions(name: str, type_: FunctionType) -> None:
    (found,) = findings(unknown_wasi_function, importing_one(WASI_NAMESPACE, name, type_))
    assert "ws_connect" in found.remedy
    assert "http_request" in found.remedy
    assert "sock_" not in found.remedy


def test_the_wasi_before_preview_1_is_told_in_one_finding() -> None:
    assert findings(wasi_unstable, importing_one(WASI_NAMESPACE, "fd_write")) == []
    (found,) = findings(
        wasi_unstable, importing(*((WASI_UNSTABLE, name, OFFSET) for name in ("fd_write", "fd_read", "nothing")))
    )
    assert found.subject == f"import {WASI_UNSTABLE} fd_write"
    assert "imports fd_write and 2 other functions from wasi_unstable" in found.message
    assert "2020 or newer" in found.remedy
