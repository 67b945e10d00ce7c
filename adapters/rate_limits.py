"""The rate limits that a plugin declares, and the waiting that obeys them.

``get_rate_limits`` → ``[{"command": name or "*", "scope": "ip" | "apikey" or a list of them, "rps": tokens a second,
"burst": most tokens at once, "cost"?: tokens a call}]``. Every row that names a command, or all by ``*``, holds for it:
where a plugin is not clear about what it means, the exchange is asked less often rather than more.

A row's tokens are in one bucket for each of its scopes. Those of ``ip`` are shared by all plugins of the process that
say they are the same one (``pluginId``, else the name) and declare the same row; those of ``apikey`` by those of them
that have the same configuration, of which only a keyed digest is held, in memory. They outlive the plugin, so that
opening it again is no way around its limits.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeGuard

import attrs
import msgspec

from adapters.buckets import Bucket, TokenBuckets, WaitTooLongError
from adapters.errors import RateLimitError
from detectors.wording import listed, printable, shown

__all__ = ["EXPORT", "Declaration", "Limiter", "RateLimit", "read_rate_limits"]

EXPORT = "get_rate_limits"
_ALL = "*"
_IP, _API_KEY = "ip", "apikey"
_MOST_ROWS = 256
_SLOWEST = 1e-5  # tokens a second; a row below that would stop a plugin for days, and is most likely a mistake
_WORTH_TELLING = 1.0  # seconds of waiting
_MOST = 1e9  # tokens, or tokens a second
_SECRET = secrets.token_bytes(32)  # so that a digest of a configuration says nothing outside of this process


@attrs.frozen
class RateLimit:
    """How often a plugin says that a command may be given.

    Attributes:
        command: The command's name; ``*`` for all commands together.
        scopes: By what the exchange counts, ``ip`` or ``apikey`` or both.
        rps: Tokens that flow in, a second.
        burst: The most tokens at once: at the least what one call costs.
        cost: Tokens that one call takes.
    """

    command: str
    scopes: tuple[str, ...]
    rps: float
    burst: float
    cost: float = 1.0


def read_rate_limits(declared: Sequence[object]) -> tuple[tuple[RateLimit, ...], tuple[str, ...]]:
    """Read what ``get_rate_limits`` answered.

    Args:
        declared: Its answer, decoded.

    Returns:
        The limits, and what was not understood, a clause each. A row that makes no sense limits nothing.
    """
    limits: list[RateLimit] = []
    told: list[str] = []
    for row in declared[:_MOST_ROWS]:
        read = _read_row(row, told)
        if read is not None:
            limits.append(read)
    if len(declared) > _MOST_ROWS:
        told.append(f"{EXPORT}: of {len(declared)} rows the first {_MOST_ROWS} are used")
    return tuple(dict.fromkeys(limits)), tuple(dict.fromkeys(told))


def _read_row(row: object, told: list[str]) -> RateLimit | None:
    command = row.get("command") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(command, str) or not command:
        told.append(f"{EXPORT}: a row that names no command was left out")
        return None
    where = f"{EXPORT}: the row for {shown(command)}"
    rps, burst, cost = row.get("rps"), row.get("burst"), row.get("cost") or 1  # the SDK writes 0 for "not given"
    if not _is_amount(rps) or rps < _SLOWEST:
        told.append(f"{where} was left out: its rps is no number from {_SLOWEST:g} to {_MOST:g}")
        return None
    if not _is_amount(cost) or cost < 0:
        told.append(f"{where} was left out: its cost is no number from 0 to {_MOST:g}")
        return None
    if not _is_amount(burst) or burst < cost:
        told.append(f"{where} has a burst that is less than what one call costs, and is taken as {cost:g}")
        burst = cost
    scopes = row.get("scope")
    named = [scopes] if isinstance(scopes, str) else scopes if isinstance(scopes, list) else []
    known = tuple(scope for scope in (_IP, _API_KEY) if scope in named)
    if not known or len(known) < len(named):
        told.append(f"{where} has a scope that is neither ip nor apikey; it is counted by {listed(known or (_IP,))}")
    return RateLimit(command, known or (_IP,), float(rps), float(burst), float(cost))


def _is_amount(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be counted with; JSON's true is not, though Python's is."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


@attrs.frozen
class Declaration:
    """What a plugin declares of itself that its limits depend on.

    Attributes:
        identity: By what it is known as the same plugin as another.
        limits: Its rate limits.
        told: What is wrong with them.
    """

    identity: str
    limits: tuple[RateLimit, ...] = ()
    told: tuple[str, ...] = ()


class Limiter:
    """Makes the callers of one plugin wait as its rate limits ask.

    Args:
        plugin: The plugin's name, for errors.
        declaration: Asks what it declares; asked before every command, so it should remember.
        config: The plugin's configuration.
        buckets: Where the tokens are.
        logger: Told once what is wrong with the limits.
    """

    def __init__(
        self,
        plugin: str,
        declaration: Callable[[], Awaitable[Declaration]],
        config: Mapping[str, Any],
        buckets: TokenBuckets,
        logger: logging.Logger,
    ) -> None:
        self._plugin = plugin
        self._declaration = declaration
        self._config = config
        self._buckets = buckets
        self._logger = logger
        self._told = False

    async def acquire(self, command: str, timeout: float | None) -> None:
        """Wait for the tokens of one call, behind whoever came earlier, and take them.

        Args:
            command: The command's name, in the words of the command dialect: ``getMarkets``, ``ohlcvStream``.
            timeout: Seconds to wait at the most; ``None`` for as long as it takes.

        Raises:
            RateLimitError: The tokens will not be there in time; it is raised at once where that is known.
        """
        declared = await self._declaration()
        if not self._told:
            self._told = True
            for problem in declared.told:
                self._logger.warning("%s", printable(problem))
        needs = self._needs(declared, command)
        if not needs:
            return

        def waiting(seconds: float) -> None:
            level = logging.INFO if seconds >= _WORTH_TELLING else logging.DEBUG
            self._logger.log(level, "%s waits %.3g s for the plugin's rate limits", shown(command), seconds)

        try:
            await self._buckets.take(needs, timeout, waiting)
        except WaitTooLongError as error:
            raise RateLimitError(self._plugin, command, error.wait, timeout or 0.0) from None

    def _needs(self, declared: Declaration, command: str) -> dict[Bucket, float]:
        needs: dict[Bucket, float] = {}
        for limit in declared.limits:
            if limit.command in (_ALL, command):
                for scope in limit.scopes:
                    user = self._digest() if scope == _API_KEY else b""
                    key = (declared.identity, limit.command, scope, user)
                    bucket = self._buckets.bucket(key, limit.rps, limit.burst)
                    needs[bucket] = max(limit.cost, needs.get(bucket, 0.0))
        return needs

    def _digest(self) -> bytes:
        config = msgspec.json.encode(dict(self._config), enc_hook=repr, order="sorted")
        return hashlib.blake2b(config, key=_SECRET, digest_size=16).digest()
