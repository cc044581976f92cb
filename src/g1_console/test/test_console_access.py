"""Who may open the console, and who may press its buttons."""

import asyncio
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from g1_console.web.access import Access
from g1_console.web.console_page import console_page

TOKEN = 'correct-horse-battery'
COOKIE = {'Cookie': f'g1_console_token={TOKEN}'}


def refusal(access: Access, path: str = '/', **headers: str) -> str:
    return access.refusal(path, {'host': '127.0.0.1:8088', **headers})


def test_this_computer_needs_no_token():
    assert refusal(Access('127.0.0.1', '')) == ''
    assert refusal(Access('127.0.0.1', ''), host='localhost:9000') == ''  # a forwarded port


def answer(access: Access, path: str, **headers: str) -> tuple[Response | None, list[str]]:
    """What the server says to a request, and what was stopped by it. None: viser is asked."""
    stopped: list[str] = []

    def stop(told: Any) -> None:
        stopped.append('the arms')
        told(True, 'stopped')

    page = console_page(access, dict, stop)
    request = Request(path, Headers({'Host': '127.0.0.1:8088', **headers}))
    viser: Any = lambda *_: None  # noqa: E731
    return asyncio.run(page.answer(None, request, viser)), stopped  # type: ignore[arg-type]


@pytest.mark.parametrize('token', ['', 'short', 'one with + that a browser makes a space of'])
@pytest.mark.parametrize('address', ['0.0.0.0', '192.168.123.2', '::'])
def test_another_address_needs_a_token_and_says_how(address, token):
    with pytest.raises(ValueError, match=r'expected a token of 16 .*G1_CONSOLE_TOKEN=\$\(openssl'):
        Access(address, token)


def test_a_token_comes_by_address_or_cookie():
    access = Access('0.0.0.0', TOKEN)
    host = {'host': 'robot:8088'}
    assert 'token is missing or wrong' in refusal(access, **host)
    assert 'token is missing or wrong' in refusal(access, '/?token=guess', **host)
    assert refusal(access, f'/?token={TOKEN}', **host) == ''
    assert refusal(access, cookie=f'a=b; g1_console_token={TOKEN}', **host) == ''


@pytest.mark.parametrize(
    'headers',
    [
        {'origin': 'https://somewhere.example'},  # a page in the same browser
        {'origin': 'http://127.0.0.1:3000'},  # another program of this computer
        {'host': 'somewhere.example:8088'},  # a name that was made to point here
    ],
)
def test_pages_of_others_are_refused(headers):
    assert refusal(Access('127.0.0.1', ''), **headers) != ''


def test_its_own_page_is_not():
    assert refusal(Access('127.0.0.1', ''), origin='http://127.0.0.1:8088') == ''


def test_only_a_script_of_its_own_page_stops_the_arms():
    access = Access('127.0.0.1', '')
    pressed = {'X-G1-Console': 'pressed'}
    response, stopped = answer(access, '/estop', **pressed)
    assert response is not None and response.status_code == 200 and stopped == ['the arms']
    others: list[dict[str, str]] = [{}, {**pressed, 'Origin': 'https://somewhere.example'}]
    for headers in others:  # an image or a link of another page; a script of one
        response, stopped = answer(access, '/estop', **headers)
        assert response is not None and response.status_code == 403 and stopped == []


def test_a_socket_is_for_its_own_page_only():
    upgrade = {'Upgrade': 'websocket', 'Connection': 'Upgrade'}
    for access, own in ((Access('127.0.0.1', ''), {}), (Access('127.0.0.1', TOKEN), COOKIE)):
        assert answer(access, '/viewer', **upgrade, **own)[0] is None
        foreign = {'Origin': 'https://somewhere.example'}
        response, _ = answer(access, '/viewer', **upgrade, **own, **foreign)
        assert response is not None and response.status_code == 403


def test_the_token_of_the_address_is_kept_by_the_browser_and_no_other_one():
    response, _ = answer(Access('127.0.0.1', TOKEN), f'/?token={TOKEN}')
    assert response is not None and response.status_code == 303
    assert response.headers['Set-Cookie'].startswith(f'{COOKIE["Cookie"]}; HttpOnly; SameSite')
    for access, headers in ((Access('127.0.0.1', TOKEN), COOKIE), (Access('127.0.0.1', ''), {})):
        response, _ = answer(access, '/?token=guess%0d%0aX:', **headers)
        assert response is not None and response.status_code == 200
        assert 'Set-Cookie' not in response.headers
