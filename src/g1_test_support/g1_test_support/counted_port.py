"""A port before another one, that counts what comes back through it."""

import selectors
import socket
import threading
from contextlib import suppress


class CountedPort:
    """Passes connections to 127.0.0.1:`behind` on. Used by `with`.

    Attributes:
        port: to connect to.
        received: bytes that came from behind so far.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._server = socket.create_server(('127.0.0.1', 0))
        self.port = int(self._server.getsockname()[1])
        self.received = 0

    def __enter__(self) -> 'CountedPort':
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            client,
            socket.create_connection(('127.0.0.1', self._behind)) as server,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is server:
                        self.received += len(data)
                    key.data.sendall(data)
