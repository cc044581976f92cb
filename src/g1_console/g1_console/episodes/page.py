"""What the grid of episodes asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from g1_console.episodes.catalogue import Catalogue
from g1_console.web.access import Access
from g1_console.web.server import Page


def episodes_page(access: Access, catalogue: Catalogue, show: Callable[[int], None]) -> Page:
    """show: plays an episode; it may take a moment and is called by a thread of its own."""

    async def episodes(_words: Mapping[str, str]) -> Any:
        return {'name': catalogue.dataset.root.resolve().name, 'episodes': catalogue.entries()}

    async def news(words: Mapping[str, str]) -> Any:
        changes = {index: change.words for index, change in catalogue.changes.items()}
        return {'measures': catalogue.measures(_number(words, 'from')), 'changes': changes}

    async def thumbnail(words: Mapping[str, str]) -> Any:
        return await asyncio.to_thread(catalogue.thumbnail, _number(words, 'episode'))

    async def play(words: Mapping[str, str]) -> Any:
        await asyncio.to_thread(show, _number(words, 'episode'))
        return {}

    return Page(
        access,
        'episodes.html',
        {'/episodes': episodes, '/news': news, '/thumbnail': thumbnail, '/play': play},
    )


def _number(words: Mapping[str, str], name: str) -> int:
    """A whole number of an address. ValueError where there is none, or it is negative."""
    given = words.get(name, '')
    if not given.isdecimal():
        raise ValueError(f'{name}: expected a whole number of at least 0, got {given!r}')
    return int(given)
