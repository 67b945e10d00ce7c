"""The HTTP side of the exchange: its markets, its intervals and its latest candles, as JSON.

Answers only: the server that takes the requests, and turns some away, is in ``exchange.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl

import msgspec

from compat.demo import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from compat.demo.clock import Clock
    from compat.demo.market import Market

__all__ = ["Rest", "respond"]

_KLINES_DEFAULT = 100
_KLINES_MOST = 1_000


class Rest:
    """Answers requests under ``/api/v1``.

    Args:
        market: What is traded, and its prices.
        clocks: How far each market has come, by symbol and interval.
    """

    def __init__(self, market: Market, clocks: Mapping[tuple[str, str], Clock]) -> None:
        self._market = market
        self._clocks = clocks
        self._routes: dict[str, Callable[[dict[str, str]], tuple[int, str]]] = {
            "/api/v1/markets": self._get_markets,
            "/api/v1/intervals": self._get_intervals,
            "/api/v1/klines": self._get_klines,
        }

    def answer(self, connection: ServerConnection, request: Request, url: SplitResult) -> Response:
        """Return the answer to a request, which is 404 for all that is not there.

        Args:
            connection: Where the request came in.
            request: The request.
            url: Its path and query.
        """
        handler = self._routes.get(url.path)
        if handler is None or request.method != "GET":
            return respond(connection, 404, wire.encode(code="not_found", message=f"nothing at {url.path}"))
        return respond(connection, *handler(dict(parse_qsl(url.query))))

    def _get_markets(self, _: dict[str, str]) -> tuple[int, str]:
        markets = []
        for symbol in self._market.symbols:
            base, quote = symbol.split("-")
            markets.append({"symbol": symbol, "base": base, "quote": quote})
        return 200, wire.encode(markets=markets)

    def _get_intervals(self, _: dict[str, str]) -> tuple[int, str]:
        return 200, wire.encode(intervals=self._market.intervals)

    def _get_klines(self, query: dict[str, str]) -> tuple[int, str]:
        pair = (query.get("symbol", ""), query.get("interval", ""))
        limit = query.get("limit", str(_KLINES_DEFAULT))
        if pair[0] not in self._market.symbols:
            return 400, wire.encode(code="unknown_symbol", message=f"no market {pair[0]}")
        if pair[1] not in self._market.intervals:
            return 400, wire.encode(code="unknown_interval", message=f"no interval {pair[1]}")
        if not (limit.isdecimal() and 1 <= int(limit) <= _KLINES_MOST):
            return 400, wire.encode(code="bad_request", message=f"limit is 1 to {_KLINES_MOST}")
        position = self._clocks[pair].position
        latest = range(max(0, position - int(limit)), position)
        klines = [msgspec.Raw(wire.kline(self._market.candle(*pair, n)).encode()) for n in latest]
        return 200, wire.encode(klines=klines)


def respond(connection: ServerConnection, status: int, body: str) -> Response:
    """Return a response whose body is JSON."""
    response = connection.respond(status, body)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
