"""A TLS server that says why it refuses a handshake, as OpenSSL does; asyncio closes before the alert is out."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.support.waiting import HANG

__all__ = ["StrictTls"]


class StrictTls:
    """A context manager; connections are served one after the other, on a thread, and get nothing but a handshake.

    Args:
        context: The server's.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="strict TLS")

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which ends the wait for a client
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                client.settimeout(HANG)
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        with self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as secure:
            try:
                secure.do_handshake()
            except ssl.SSLError:
                with socket.socket(fileno=secure.detach()) as bare:  # to close only once the alert has been read
                    bare.settimeout(HANG)
                    bare.shutdown(socket.SHUT_WR)
                    while bare.recv(2**16):
                        pass
