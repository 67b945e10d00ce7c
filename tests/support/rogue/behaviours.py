"""The table of misbehaviours, by name. The names are for people; what a user sees of each is for the tests to say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.rogue.wire import CLOSE, Wire, bomb, frame

__all__ = ["BEHAVIOURS", "HUGE", "OFTEN", "Behaviour"]

Behaviour = Callable[[Wire], Awaitable[None]]

HUGE = 2**26  # bytes: of the message that is too long, and of the one that is once unpacked
OFTEN = 0.05  # seconds between clean closes
_DRIP = 0.01  # seconds between two bytes


def answers(status: str, *headers: str) -> Behaviour:
    async def act(wire: Wire) -> None:
        await wire.answer(status, *headers)

    return act


def says(data: bytes, *, then: Callable[[Wire], Awaitable[None]] = Wire.stay, upgrade: str = "") -> Behaviour:
    """Accepts the WebSocket, sends these bytes, and goes on in that way."""

    async def act(wire: Wire) -> None:
        await wire.upgrade(*filter(None, [upgrade]))
        await wire.send(data)
        await then(wire)

    return act


async def leave(wire: Wire) -> None:
    """An orderly end of the TCP connection, without a close frame."""
    wire.writer.close()


async def reset(wire: Wire) -> None:
    wire.reset()


async def speak_gibberish(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"220 mail.example ESMTP\r\n")


async def speak_no_tls(wire: Wire) -> None:
    await wire.reader.read(1)
    await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def answer_without_key(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")


async def leave_once_asked(wire: Wire) -> None:
    await wire.request()


async def reset_once_asked(wire: Wire) -> None:
    await wire.reader.read(1)
    wire.reset()


async def drip(wire: Wire) -> None:
    await wire.upgrade()
    for number in range(3):
        for byte in frame(f'{{"drip": {number}}}'.encode()):
            await wire.send(bytes([byte]))
            await asyncio.sleep(_DRIP)
    await wire.stay()


async def flood(wire: Wire) -> None:
    await wire.upgrade()
    much = frame(b'{"flood": true}') * 4_096
    while True:
        await wire.send(much)


async def close_often(wire: Wire) -> None:
    await wire.upgrade()
    await asyncio.sleep(OFTEN)
    await wire.send(frame(b"\x03\xe9going away", opcode=CLOSE))


BEHAVIOURS: dict[str, Behaviour] = {
    # Before the WebSocket is open
    "says nothing": Wire.listen,
    "leaves at once": leave,
    "leaves once asked": leave_once_asked,
    "resets once asked": reset_once_asked,
    "429 with seconds": answers("429 Too Many Requests", "Retry-After: 7"),
    "429 with a date that has passed": answers("429 Too Many Requests", "Retry-After: Thu, 01 Jan 2015 00:00:00 GMT"),
    "429 with nonsense": answers("429 Too Many Requests", "Retry-After: soon"),
    "503": answers("503 Service Unavailable"),
    "401": answers("401 Unauthorized", "WWW-Authenticate: Basic realm=s3cret"),
    "302": answers("302 Found", "Location: ws://elsewhere.example/?token=s3cret"),
    "200": answers("200 OK"),
    "no HTTP": speak_gibberish,
    "no TLS": speak_no_tls,
    "no key": answer_without_key,
    # While it is open
    "stays silent": says(b"", then=Wire.turn_a_deaf_ear),
    "leaves in mid-message": says(frame(b'{"half', length=1_000), then=leave),
    "resets in mid-message": says(frame(b'{"half', length=1_000), then=reset),
    "invalid opcode": says(frame(b"", opcode=3)),
    "invalid opcode, then deaf": says(frame(b"", opcode=3), then=Wire.turn_a_deaf_ear),
    "masked frame": says(frame(b"{}", masked=True)),
    "reserved bits": says(frame(b"{}", rsv=1)),
    "continuation of nothing": says(frame(b"{}", opcode=0)),
    "invalid UTF-8": says(frame(b"\xff{}")),
    "text that is no JSON": says(frame(b"<html>502 Bad Gateway</html>")),
    "too long a message": says(frame(b"x" * 1_000, length=HUGE)),
    "too long a message in parts": says(frame(b"x" * 2_000, fin=False) + frame(b"x" * 2_000, opcode=0, fin=False) * 20),
    "bomb": says(bomb(HUGE), upgrade="Sec-WebSocket-Extensions: permessage-deflate"),
    "drips": drip,
    "floods": flood,
    "closes often": close_often,
    "closes, then deaf": says(frame(b"\x03\xe8", opcode=CLOSE), then=Wire.turn_a_deaf_ear),
    "refuses by a close": says(frame(b"\x03\xf0no s3cret for you", opcode=CLOSE)),
}
