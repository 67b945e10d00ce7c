"""JSON as plugins write it: decoded strictly first, and where that fails once more with what writers get wrong.

The JSON libraries of a dozen languages differ. What is well-formed is decoded once, by msgspec; these three are not,
and cost a second pass only where they occur:

- *Invalid UTF-8* becomes U+FFFD, and surrogate pairs in UTF-8 (CESU-8) become the character that they stand for.
- *Half a surrogate pair*, escaped: JavaScript and AssemblyScript write it when they cut a text within an emoji. It is
  decoded as U+FFFD; a payload that is passed on undecoded (``msgspec.Raw``) keeps the escape as it was written.
- *Integers* written as floats (``1000.0``, ``1e3``) or in a string, up to 2^53: beyond that floats are not exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["Lenient", "convert", "decode_json", "valid_utf8"]

T = TypeVar("T")

# Any escape, so that the second backslash of an escaped one begins none; ``half`` is a surrogate without its pair.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"  # as long as what it stands for, so that everything keeps its place
_SURROGATES = re.compile(rb"(?:\xed[\xa0-\xbf][\x80-\xbf])+")


class Lenient(Generic[T]):
    """A decoder for one type, for JSON that a plugin wrote.

    Args:
        wanted: What to decode, as for ``msgspec.json.Decoder``.
        options: Likewise, by name.
    """

    def __init__(self, wanted: type[T], **options: Any) -> None:
        self.strict: Callable[[bytes], T] = msgspec.json.Decoder(wanted, **options).decode
        """msgspec's own, for where each nanosecond counts; raises a ``ValueError``, and lets invalid UTF-8 pass in what
        it does not decode."""
        self._lax: Callable[[bytes], T] = msgspec.json.Decoder(wanted, strict=False, **options).decode

    def decode(self, data: bytes) -> T:
        """Decode one value.

        Raises:
            msgspec.DecodeError: The bytes are no JSON, or not what is wanted; a ``ValueError``.
            RecursionError: They are nested too deeply.
        """
        if not data.isascii():
            data = valid_utf8(data)
        try:
            return self.strict(data)
        except msgspec.DecodeError:
            return self._decode_again(data)

    def _decode_again(self, data: bytes) -> T:
        mended = _ESCAPE.sub(lambda escape: _REPLACEMENT if escape["half"] else escape[0], data)
        try:
            value: T = self._lax(mended)
        except msgspec.ValidationError as error:
            raise _explained(error) from None
        if mended != data:
            value = _as_written(value, mended, data)
        return value


decode_json = Lenient(Any).decode


def convert(value: object, wanted: type[T]) -> T:
    """Convert decoded JSON to a type; whole floats become integers, as ``Lenient`` does.

    Raises:
        msgspec.ValidationError: It is something else; a ``ValueError``.
    """
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error) from None


def valid_utf8(data: bytes) -> bytes:
    """Return the bytes, with U+FFFD for what is no UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return _SURROGATES.sub(_paired, data).decode(errors="replace").encode()
    return data


def _paired(surrogates: re.Match[bytes]) -> bytes:
    text = surrogates[0].decode(errors="surrogatepass")
    return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace").encode()


def _explained(error: msgspec.ValidationError) -> msgspec.ValidationError:
    text = str(error)
    return msgspec.ValidationError(f"{text}: not a whole number up to 2^53") if "got `float`" in text else error


def _as_written(value: Any, mended: bytes, written: bytes) -> Any:
    """Return ``value`` with every undecoded part of it as it was written.

    A part is found by its mended text. If that stands twice, what is taken is decoded as the same all the same.
    """
    if isinstance(value, msgspec.Raw):
        at = mended.find(part := bytes(value))
        return msgspec.Raw(written[at : at + len(part)])
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            setattr(value, field, _as_written(getattr(value, field), mended, written))
    return value
