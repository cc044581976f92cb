"""`dit4dit serve`: a policy for whoever asks over a WebSocket.

The protocol of the published DiT4DiT server, so that its clients run unchanged; see requests.py and
wire.py. A bad request is answered with what was expected, and the connection goes on.
"""

from __future__ import annotations

import argparse
import hmac
import http
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

from dit4dit_policy.inference.chunk_policy import ChunkPolicy
from dit4dit_policy.serving.requests import RequestError, answer, greeting, read_request
from dit4dit_policy.serving.wire import MAX_BYTES, TOKEN_VARIABLE, WireError, pack, unpack
from dit4dit_policy.serving.worker import Worker
from g1_description import load_embodiment
from g1_description.plugins import find_plugin

PORT = 10093

_MOST_CLIENTS = 64
_SEND_TIMEOUT = 5  # [s] whole ones; who does not read its answers for so long is let go
_CLOSE_TIMEOUT = 2.0  # [s] that a client has to say goodbye
_log = logging.getLogger('dit4dit.serve')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit serve`."""
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='its folder, or the name of a shipped one (default: small)',
    )  # fmt: skip
    parser.add_argument(
        '--policy', default='dit4dit', metavar='NAME',
        help='a name in the entry-point group dit4dit.policies, or module:attribute '
        '(default: dit4dit)',
    )  # fmt: skip
    parser.add_argument(
        '--embodiment', default='g1_aloha', metavar='NAME',
        help="the robot: a shipped embodiment's name, or a YAML file (default: g1_aloha)",
    )  # fmt: skip
    parser.add_argument(
        '--host', default='127.0.0.1', metavar='ADDRESS',
        help=f'where to listen (default: this machine alone; others need a token in '
        f'{TOKEN_VARIABLE})',
    )  # fmt: skip
    parser.add_argument(
        '--port', type=int, default=PORT, metavar='N', help='0: any that is free (default: 10093)'
    )
    parser.add_argument(
        '--threads', type=int, default=1, metavar='N',
        help='of the CPU for inference; more help only where that many cores are idle (default: 1)',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; ValueError says what is wrong with the arguments."""
    if arguments.threads < 1:
        raise ValueError(f'--threads: expected at least 1, got {arguments.threads}')
    token = os.environ.get(TOKEN_VARIABLE, '')
    local = arguments.host in ('127.0.0.1', '::1', 'localhost')
    if not local and len(token) < 16:
        raise ValueError(
            f'--host {arguments.host}: other machines may connect; set {TOKEN_VARIABLE} to a '
            'secret of at least 16 characters, here and at the clients'
        )
    logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stderr)
    logging.getLogger('websockets').setLevel(logging.ERROR)
    embodiment = load_embodiment(arguments.embodiment)
    policy: ChunkPolicy = find_plugin('dit4dit.policies', arguments.policy)(
        arguments.checkpoint, embodiment
    )
    server = PolicyServer(policy, arguments.host, arguments.port, token, arguments.threads)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.close).start())
    print(
        f'{policy.model_id} for {embodiment.name} at ws://{arguments.host}:{server.port}'
        + ('' if policy.trained else ' (UNTRAINED: its weights are random)'),
        flush=True,
    )
    server.serve_forever()
    print(server.summary())
    return 0


class PolicyServer:
    """Listens from the beginning; `serve_forever` answers until `close`."""

    def __init__(
        self, policy: ChunkPolicy, host: str, port: int, token: str = '', threads: int = 1
    ) -> None:
        """Args:
        token: what clients have to send as `Authorization: Api-Key TOKEN`; '' for nothing.
        threads: of the CPU, for inference.
        """
        self._policy = policy
        self._token = token
        self._worker = Worker(policy, threads)
        self._clients: set[ServerConnection] = set()
        self._closing = False
        self._answers: dict[str, int] = {'ok': 0, 'refused': 0, 'failed': 0}
        self._durations: deque[float] = deque(maxlen=1000)  # from request to answer [s]
        try:
            self._server = serve(
                self._speak,
                host,
                port,
                compression=None,
                max_size=MAX_BYTES,
                close_timeout=_CLOSE_TIMEOUT,
                process_request=self._admit,
            )
        except (OSError, OverflowError) as error:
            raise ValueError(
                f'--port {port}: {error}; is another server there? --port 0 takes a free one'
            ) from None
        self.port: int = self._server.socket.getsockname()[1]

    def serve_forever(self) -> None:
        """Answers clients, a thread each; the policy is asked by one of its own."""
        self._server.serve_forever()
        self._worker.close()

    def close(self) -> None:
        """Says goodbye to the clients and ends `serve_forever`, in seconds."""
        self._closing = True
        with ThreadPoolExecutor(_MOST_CLIENTS) as pool:
            for client in tuple(self._clients):
                pool.submit(client.close, 1001, 'the server ends')
        self._server.shutdown()

    def summary(self) -> str:
        """What was answered, and how fast."""
        text = ', '.join(f'{count} {what}' for what, count in self._answers.items())
        if not self._durations:
            return f'answers: {text}'
        p50, p99 = np.percentile(list(self._durations), (50, 99)) * 1e3
        return f'answers: {text}; {p50:.1f} ms p50, {p99:.1f} ms p99'

    def _admit(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Refuses who has no token; answers /healthz."""
        if request.path == '/healthz':
            return connection.respond(http.HTTPStatus.OK, 'OK\n')
        if self._token:
            given = ' '.join(request.headers.get_all('Authorization')).removeprefix('Api-Key ')
            sent = given.encode(errors='surrogateescape')  # its bytes, whatever they are
            if not hmac.compare_digest(sent, self._token.encode()):
                return connection.respond(
                    http.HTTPStatus.UNAUTHORIZED, f'expected a token, see {TOKEN_VARIABLE}\n'
                )
        if len(self._clients) >= _MOST_CLIENTS:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, 'too many clients\n')
        return None

    def _speak(self, connection: ServerConnection) -> None:
        """Of one client, until it goes."""
        patience = struct.pack('ll', _SEND_TIMEOUT, 0)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        self._clients.add(connection)
        try:
            if self._closing:
                return
            connection.send(pack(greeting(self._policy)))
            for message in connection:
                start = time.monotonic()
                connection.send(pack(self._reply(message)))
                self._durations.append(time.monotonic() - start)
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(connection)

    def _reply(self, data: str | bytes) -> dict[str, Any]:
        """The answer to anything that a client may send."""
        kind, name = 'unknown', 'default'
        try:
            if isinstance(data, str):
                raise WireError('expected a binary message of MessagePack, got text')
            message = unpack(data)
            if not isinstance(message, Mapping):
                raise RequestError(f'expected a map of names and values, got {message!r:.80}')
            name = str(message.get('request_id', name))[:200]
            asked = message.get('type', 'infer')
            if not isinstance(asked, str) or asked not in ('infer', 'predict_action', 'ping'):
                raise RequestError(f'type: expected infer or ping, got {asked!r:.80}')
            if asked == 'ping':
                return _reply(name, 'ping')
            kind = 'inference_result'
            reply = _reply(name, kind, data=self._infer(message))
            self._answers['ok'] += 1
            return reply
        except ValueError as error:  # of request, wire or policy: what was expected
            self._answers['refused'] += 1
            return _reply(name, kind, error={'message': str(error)})
        except Exception as error:
            self._answers['failed'] += 1
            _log.exception('inference failed')
            return _reply(name, kind, error={'message': f'{type(error).__name__}: {error}'})

    def _infer(self, message: Mapping[Any, Any]) -> dict[str, Any]:
        request = read_request(message, self._policy)
        return answer(request, self._worker.submit(request.observations).result(), self._policy)


def _reply(name: str, kind: str, **more: Any) -> dict[str, Any]:
    ok = 'error' not in more
    return {
        'status': 'ok' if ok else 'error',
        'ok': ok,
        'type': kind,
        'request_id': name,
        **more,
    }
