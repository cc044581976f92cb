"""The web server: viser's page within one of ours.

viser serves the scene and the panels on a socket of its own making. What it lacks is put in front
of it, on the same port: who may connect, the page around it, and the addresses that page asks.
"""

from __future__ import annotations

import http
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib.resources import files
from io import StringIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import viser
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from g1_console.web.access import COOKIE, Access, token_of

#: What an address answers, given the words after its `?`: bytes of a JPEG, or what becomes JSON.
Answer = Callable[[Mapping[str, str]], Awaitable[Any]]

_FROM_PAGE = 'X-G1-Console'  # no form or picture of another page can send it


class Page:
    """A page, and what its own scripts ask; everything else is viser's."""

    def __init__(self, access: Access, name: str, answers: Mapping[str, Answer]) -> None:
        """name: of the HTML file in this package. answers: by path, as '/state'."""
        self._access, self._answers = access, answers
        self._page = files('g1_console.web').joinpath(name).read_bytes()

    async def answer(
        self,
        connection: ServerConnection,
        request: Request,
        viewer: Callable[[ServerConnection, Request], Response | None],
    ) -> Response | None:
        """The response to a request; None lets a websocket through."""
        if refusal := self._access.refusal(request.path, _lower_case(request.headers)):
            return _response(http.HTTPStatus.FORBIDDEN, 'text/plain', f'{refusal}\n'.encode())
        path = urlsplit(request.path).path
        if path == '/':
            return self._front_page(request)
        if path == '/viewer' and request.headers.get('Upgrade') != 'websocket':
            request = replace(request, path='/index.html')
        elif path in self._answers:
            return await self._asked(self._answers[path], request)
        response: Response | None = viewer(connection, request)
        if response is not None:
            _seal(response.headers)
        return response

    def _front_page(self, request: Request) -> Response:
        """The token in the address becomes a cookie, and leaves the address bar."""
        if self._access.is_token(token := token_of(request.path)):
            cookie = f'{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/'
            return _response(
                http.HTTPStatus.SEE_OTHER,
                'text/plain',
                b'',
                {'Location': '/', 'Set-Cookie': cookie},
            )
        return _response(http.HTTPStatus.OK, 'text/html; charset=utf-8', self._page)

    async def _asked(self, answer: Answer, request: Request) -> Response:
        if request.headers.get(_FROM_PAGE) is None:
            return _response(http.HTTPStatus.FORBIDDEN, 'text/plain', b'not from this page\n')
        words = dict(parse_qsl(urlsplit(request.path).query))
        try:
            content = await answer(words)
        except (LookupError, ValueError, OSError) as error:
            return _response(http.HTTPStatus.BAD_REQUEST, 'text/plain', f'{error}\n'.encode())
        if isinstance(content, bytes):
            return _response(http.HTTPStatus.OK, 'image/jpeg', content)
        return _response(http.HTTPStatus.OK, 'application/json', json.dumps(content).encode())


def serve(page: Page, address: str, port: int) -> viser.ViserServer:
    """viser behind the page. Raises OSError where the port is taken; viser would try the next."""
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise OSError(
                f'{address}:{port} cannot be listened on ({error.strerror}); is another console '
                'running? Choose another port'
            ) from None
    with _in_front(page), redirect_stdout(StringIO()):  # its own address is said by the node
        return viser.ViserServer(host=address, port=port, verbose=False)


@contextmanager
def _in_front(page: Page) -> Iterator[None]:
    """Whoever serves websockets meanwhile, viser, has every request answered by the page first."""
    plain = websockets.asyncio.server.serve

    def serve_guarded(*arguments: Any, process_request: Any, **options: Any) -> Any:
        async def guarded(connection: ServerConnection, request: Request) -> Response | None:
            return await page.answer(connection, request, process_request)

        return plain(*arguments, process_request=guarded, **options)

    websockets.asyncio.server.serve = serve_guarded  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = plain  # type: ignore[misc]


def _seal(headers: Headers) -> None:
    """Nobody puts the page into one of their own, and a connection serves one request: a browser
    that sent its next one on it would not be heard.
    """
    headers['X-Frame-Options'] = 'SAMEORIGIN'
    headers['Connection'] = 'close'


def _lower_case(headers: Headers) -> dict[str, str]:
    """By name in lower case, as names of headers are the same in any."""
    return {name.lower(): value for name, value in headers.raw_items()}


def _response(
    status: http.HTTPStatus, kind: str, body: bytes, extra: dict[str, str] | None = None
) -> Response:
    headers = Headers({'Content-Type': kind, 'Content-Length': str(len(body)), **(extra or {})})
    headers['Cache-Control'] = 'no-store'
    _seal(headers)
    return Response(status.value, status.phrase, headers, body)
