"""What a guest logs through its PDK, with real guests: levels, order, and what is cut off."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from adapters.companion.limits import KernelLimits
from adapters.secrets import Redactor
from adapters.voice import Voice
from tests.adapters.runtime.guests import border_of, module

if TYPE_CHECKING:
    from tests.adapters.runtime.conftest import MakeGuest

LOGS = """
  (data (i32.const 8) "a record")

  (func (export "config") (result i32)
    (call $answer (call $config_get (call $input_offset)))
    (i32.const 0))
  (func (export "log") (result i32)
    (call $log_trace (call $input_offset))
    (call $log_debug (call $input_offset))
    (call $log_info (call $input_offset))
    (call $log_warn (call $input_offset))
    (call $log_error (call $input_offset))
    (i32.const 0))
  (func (export "level") (result i32) (call $get_log_level))
  (func (export "log_call_log") (result i32)
    (call $log_info (call $block (i32.const 8) (i32.const 8)))
    (drop (call $host (call $input_offset)))
    (call $log_info (call $block (i32.const 8) (i32.const 8)))
    (i32.const 0))
  (func (export "fail") (result i32) (call $error_set (call $input_offset)) (i32.const 5))
"""


async def test_logs_reach_the_plugins_logger_at_their_levels(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guest = make_guest(wasm=module(LOGS), redact=lambda text: text.replace("s3cret", "***"))
    await guest.call("log", b"the key s3cret\nline two")
    levels = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        ("compat.plugin.example", level, line) for level in levels for line in ("the key ***", "line two")
    ]


@pytest.mark.parametrize(
    ("logger", "level", "told"),
    [(logging.DEBUG, 0, 5), (logging.INFO, 2, 3), (logging.WARNING, 3, 2), (logging.ERROR, 4, 1)],
)
async def test_a_guest_is_told_the_loggers_level_and_what_is_below_it_never_crosses(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture, logger: int, level: int, told: int
) -> None:
    caplog.set_level(logger)
    voice = Deaf(logging.getLogger("compat.plugin.example"))
    guest = make_guest(wasm=module(LOGS), voice=voice)
    assert (await guest.attempt("level", b"")).code == level
    await guest.call("log", b"x")
    assert voice.crossed == told


async def test_a_level_that_is_set_later_counts_from_the_next_answer_on(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    guest = make_guest(wasm=module(LOGS), config={"key": b"value", "long": bytes(2**16)})
    await guest.call("log", b"x")
    assert len(caplog.records) == 1
    for name, logger, level in (("key", logging.DEBUG, 0), ("long", logging.WARNING, 3), ("key", logging.INFO, 2)):
        caplog.set_level(logger)
        await guest.call("config", name.encode())
        assert (await guest.attempt("level", b"")).code == level
        caplog.clear()
        await guest.call("log", b"x")
        assert len(caplog.records) == 5 - level


@pytest.mark.parametrize("before", [32_768 - 3, 32_768 - 10])
async def test_a_secret_across_the_cut_of_a_record_is_not_told_by_half(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture, before: int
) -> None:
    caplog.set_level(logging.DEBUG)

    def redact(text: str) -> str:
        return text.replace("correct-horse-battery", "***")

    guest = make_guest(wasm=module(LOGS), redact=redact)
    lines = (b"y" * 999 + b"\n") * 32
    await guest.call("log", lines + b"x" * (before - len(lines)) + b"correct-horse-battery\nthe end")
    assert [record.getMessage() for record in caplog.records] == [*["y" * 999] * 32, "[cut]"] * 5
    outcome = await guest.attempt("fail", b"x" * (32_768 + before) + b"correct-horse-battery")
    assert outcome.reason == "x" * (65_536 - 4_096) + " [cut at 64.0 KiB]"


class Deaf(Voice):
    """A voice that only counts the records that it is given."""

    crossed = 0

    def say(self, level: int, text: str) -> None:
        self.crossed += 1


async def test_what_is_logged_before_a_host_call_is_told_before_it(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[int] = []

    def host(_: bytes) -> bytes:
        told.append(len(caplog.records))
        return b""

    await make_guest(host, wasm=module(LOGS)).call("log_call_log", b"x")
    assert told == [1]
    assert len(caplog.records) == 2


def test_no_secret_is_cut_in_two_where_what_goes_before_gets_shorter_without_its_own() -> None:
    secret = "tok-" + "0123456789abcdef" * 60
    voice = Voice(logging.getLogger("compat.plugin.example"), redact=Redactor({"token": secret}))
    border = border_of(voice=voice, limits=KernelLimits(error=8_192))
    border.error = f"{secret} ".encode() * 80
    assert border.reason() is not None
    assert "0123456789abcdef" not in str(border.reason())
