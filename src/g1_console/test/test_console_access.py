"""Who may open the console, and who may press its buttons."""

import pytest

from g1_console.web.access import Access

TOKEN = 'correct-horse-battery'


def refusal(access: Access, path: str = '/', **headers: str) -> str:
    return access.refusal(path, {'host': '127.0.0.1:8088', **headers})


def test_this_computer_needs_no_token():
    assert refusal(Access('127.0.0.1', '')) == ''
    assert refusal(Access('127.0.0.1', ''), host='localhost:9000') == ''  # a forwarded port


@pytest.mark.parametrize('token', ['', 'short'])
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
