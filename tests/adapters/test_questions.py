"""Asking for metadata, of guests that fail before they can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.metadata import METADATA_EXPORTS, Answers
from adapters.questions import ask_for_metadata
from adapters.runtime.guest import Guest
from detectors.report import inspect
from tests.adapters.runtime.guests import border_of
from tests.support.clocks import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("nothing_left")

LOOP = "(loop $for_ever (br $for_ever))"


def asked(head: str = "", body: str = "(i32.const 1)") -> bytes:
    """A module with every export that tells metadata, all of which do this."""
    exports = " ".join(f'(func (export "{name}") (result i32) {body})' for name in METADATA_EXPORTS)
    return bytes(wasmtime.wat2wasm(f"(module {head} {exports})"))


def initialised_by(body: str) -> bytes:
    return asked(f'(func (export "_initialize") {body})')


async def answers_of(*modules: bytes, initialise_timeout: float = FOREVER) -> Answers:
    """Ask guests of these modules, made in this order; fail if another number of guests is made."""
    made: list[Guest] = []

    def make(_: Callable[[str], object]) -> Guest:
        wasm = modules[len(made)]
        made.append(Guest(wasm, plugin="example", border=border_of(), initialise_timeout=initialise_timeout))
        return made[-1]

    answers = await ask_for_metadata(inspect(modules[0]), make, FOREVER)
    assert len(made) == len(modules)
    return answers


@pytest.mark.parametrize(
    ("wasm", "problem"),
    [
        (initialised_by("unreachable"), "plugin 'example': _initialize trapped: "),
        (asked('(import "env" "missing" (func))'), "plugin 'example': could not be instantiated: "),
    ],
    ids=["traps", "cannot be instantiated"],
)
async def test_a_module_that_cannot_be_initialised_is_one_problem(wasm: bytes, problem: str) -> None:
    (told,) = (await answers_of(wasm)).problems
    assert told.startswith(problem)


async def test_a_module_that_hangs_while_it_is_initialised_is_one_problem() -> None:
    (told,) = (await answers_of(initialised_by(LOOP), initialise_timeout=0.05)).problems
    assert told.startswith("plugin 'example': _initialize did not return within 0.05 s")


async def test_a_fresh_guest_that_cannot_be_initialised_is_the_last() -> None:
    first, last = (await answers_of(asked(body="unreachable"), initialised_by("unreachable"))).problems
    assert first.startswith("plugin_info: plugin 'example': plugin_info trapped: ")
    assert last.startswith("plugin 'example': _initialize trapped: ")


async def test_each_export_that_fails_is_a_problem_of_its_own() -> None:
    problems = (await answers_of(asked())).problems
    assert [problem.split(": ")[0] for problem in problems] == list(METADATA_EXPORTS)
