"""Who may open the console: this computer, or whoever has the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

#: The environment variable of the token: a command line can be read by every user of a computer.
TOKEN_VARIABLE = 'G1_CONSOLE_TOKEN'
COOKIE = 'g1_console_token'
_TOKEN = re.compile('[A-Za-z0-9_-]{16,}')  # the same in an address, a cookie and a shell


@dataclass(frozen=True)
class Access:
    """The address that is listened on, and the token that is asked for; '' where none is."""

    address: str
    token: str

    def __post_init__(self) -> None:
        reached = not _is_this_computer(self.address)
        if (self.token or reached) and not _TOKEN.fullmatch(self.token):
            why = f'address {self.address} can be reached by other computers: ' if reached else ''
            raise ValueError(
                f'{why}expected a token of 16 letters, digits, - or _, or more, in '
                f'{TOKEN_VARIABLE}, got {len(self.token)} characters; set one with: '
                f'export {TOKEN_VARIABLE}=$(openssl rand -hex 16)'
            )

    def refusal(self, path: str, headers: Mapping[str, str]) -> str:
        """Why a request is not answered, in words; '' where it is. Names of headers: lower case.

        A page of somebody else's, open in the same browser, must not press a button: what a browser
        says of a request's origin has to be this server (RFC 6455, 10.2), and the name it was asked
        under one of this computer's (or another name could be made to point here).
        """
        host = headers.get('host', '')
        origin = headers.get('origin')
        if origin is not None and urlsplit(origin).netloc != host:
            return f'a page of {origin} cannot use this console; open it by its own address'
        if self.token:
            if not self.is_token(cookie(headers)) and not self.is_token(token_of(path)):
                return 'the token is missing or wrong; open the address with /?token=... at its end'
        elif not _is_this_computer(_name(host)):
            return f'{host} is no name of this computer; open http://127.0.0.1 with the same port'
        return ''

    def is_token(self, given: str) -> bool:
        """Whether it is the token that is asked for; never where none is."""
        given_bytes = given.encode(errors='replace')
        return bool(self.token) and hmac.compare_digest(given_bytes, self.token.encode())


def token_of(path: str) -> str:
    """The token in a request's path; '' where there is none."""
    return parse_qs(urlsplit(path).query).get('token', [''])[0]


def cookie(headers: Mapping[str, str]) -> str:
    """The token that a browser keeps; '' where it keeps none."""
    for part in headers.get('cookie', '').split(';'):
        name, _, value = part.strip().partition('=')
        if name == COOKIE:
            return value
    return ''


def _name(host: str) -> str:
    """A Host header without its port."""
    return urlsplit(f'//{host}').hostname or ''


def _is_this_computer(name: str) -> bool:
    if name == 'localhost':
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
