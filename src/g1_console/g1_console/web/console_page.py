"""The console's page: viser's below a bar that always has the emergency stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from g1_console.web.access import Access
from g1_console.web.server import Page

#: Told when the emergency stop has been asked for: whether it was done, and the answer.
Told = Callable[[bool, str], None]

_ANSWER = 2.0  # [s] that the answer of a service is awaited


def console_page(
    access: Access, state: Callable[[], dict[str, str]], stop: Callable[[Told], None]
) -> Page:
    """state: mode, text and colour of the bar, source: who has the arms.

    stop: asks for the emergency stop.
    """

    async def asked_state(_words: Mapping[str, str]) -> Any:
        return state()

    async def asked_stop(_words: Mapping[str, str]) -> Any:
        return await _stopped(stop)

    return Page(access, 'page.html', {'/state': asked_state, '/estop': asked_stop})


async def _stopped(stop: Callable[[Told], None]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[bool, str]] = loop.create_future()

    def tell(done: bool, text: str) -> None:
        if not answer.done():
            answer.set_result((done, text))

    def told(done: bool, text: str) -> None:
        loop.call_soon_threadsafe(tell, done, text)

    stop(told)
    try:
        done, text = await asyncio.wait_for(answer, _ANSWER)
    except asyncio.TimeoutError:
        done, text = False, f'control_node did not answer within {_ANSWER:g} s'
    return {'done': done, 'text': text}
