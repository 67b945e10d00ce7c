"""What a caller may give: the rules for settings and arguments, and the one form in which a breach of them is refused.

A setting that makes no sense has to be refused where it is given. Otherwise it is found by the first outage, at night,
in a stream that never comes back. A rule is a value: it validates a field of an attrs class, and checks an argument.

    Backoff: first must be a finite number of seconds, 0 or more, not nan. Correct Backoff(first=...)
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from detectors.errors import UsageError
from detectors.wording import shown

__all__ = [
    "FUNCTION",
    "MAPPING",
    "TEXT",
    "TRUTH",
    "Rule",
    "at_least",
    "more_than_0",
    "offering",
    "one_of_type",
    "whole",
]


@attrs.frozen
class Rule:
    """What a value has to be.

    Attributes:
        words: That, as it follows "must be".
        holds: Whether a value is so; it never raises.
        shows: Whether the refusal shows a value that is wrong. If not, it names the value's type: it may hold a secret.
    """

    words: str
    holds: Callable[[Any], bool]
    shows: bool = False

    def __call__(self, instance: object, field: attrs.Attribute[Any], value: object) -> None:
        """Validate a field of an attrs class. Raises ``UsageError``."""
        self.check(value, type(instance).__name__, field.name)

    def check(self, value: object, call: str, name: str, *, of: str = "", error: type[UsageError] = UsageError) -> None:
        """Check an argument.

        Args:
            value: What was given.
            call: What it was given to, for example ``open_plugin``.
            name: The argument's name.
            of: Whose it is, for example ``plugin 'woox'``; empty: the call says it all.
            error: What to raise.

        Raises:
            UsageError: It is not what it has to be; or the more particular ``error``.
        """
        if not self.holds(value):
            msg = f"{of or call}: {name} must be {self.words}, not {self._told(value)}"
            raise error(msg, remedy=f"Correct {call}({name}=...)")

    def or_none(self) -> Rule:
        """The rule under which ``None`` will do as well."""
        return attrs.evolve(
            self, words=f"{self.words}, or None", holds=lambda value: value is None or self.holds(value)
        )

    def _told(self, value: object) -> str:
        if value is None or (self.shows and isinstance(value, str | int | float)):
            return shown(repr(value))
        return f"a value of type {shown(type(value).__name__)}"


def _is_number(value: object, *, endless: bool) -> bool:
    """Whether it is one to count with. True and False are not, although Python has them as 1 and 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    return math.isfinite(number) or (endless and number == math.inf)


def _number(unit: str, *, endless: bool) -> str:
    return f"a {'' if endless else 'finite '}number{f' of {unit}' if unit else ''}"


def more_than_0(unit: str = "", *, endless: bool = False) -> Rule:
    """A number above 0; ``math.inf`` only if it may be endless."""
    words = f"{_number(unit, endless=endless)} above 0"
    return Rule(words, lambda value: _is_number(value, endless=endless) and value > 0, shows=True)


def at_least(least: float, unit: str = "", *, endless: bool = False) -> Rule:
    """A number from ``least`` on; ``math.inf`` only if it may be endless."""
    words = f"{_number(unit, endless=endless)}, {least:g} or more"
    return Rule(words, lambda value: _is_number(value, endless=endless) and value >= least, shows=True)


def whole(least: int, unit: str = "", *, most: int | None = None) -> Rule:
    """A whole number from ``least`` on, to ``most``."""

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            return False
        return least <= int(value) and (most is None or int(value) <= most)

    ends = f"{least} or more" if most is None else f"{least} to {most}"
    return Rule(f"a whole number{f' of {unit}' if unit else ''}, {ends}", holds, shows=True)


def one_of_type(*types: type, words: str = "") -> Rule:
    """A value of one of some types; ``words``, where the name of the first says too little."""
    return Rule(words or f"an instance of {types[0].__name__}", lambda value: isinstance(value, types))


def offering(method: str) -> Rule:
    """An object of whatever type that has a method."""
    return Rule(f"an object with a method {method}()", lambda value: callable(getattr(value, method, None)))


TRUTH = attrs.evolve(one_of_type(bool, words="True or False"), shows=True)
TEXT = attrs.evolve(one_of_type(str, words="a text"), shows=True)
MAPPING = one_of_type(Mapping, words="a mapping")
FUNCTION = Rule("a function", callable)
