"""A policy in a process of its own, for all attempts that go on at a time."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from dit4dit_policy.inference.chunk_policy import follow_of
from g1_description import Embodiment
from g1_description.plugins import find_plugin

#: Of an answer [s]: a large policy on a CPU may take that long for all who ask at once.
_TIMEOUT = 600


@dataclass(frozen=True)
class Served:
    """What a policy behind an address is.

    address: for the policy `remote`. Others as of `ChunkPolicy`.
    """

    address: str
    model_id: str
    trained: bool
    cameras: tuple[str, ...]
    follow: int


@contextmanager
def served(policy: str, checkpoint: str, embodiment: Embodiment) -> Iterator[Served]:
    """The policy of that name, on this machine alone; ValueError where it does not load."""
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(policy, checkpoint, embodiment, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        try:
            answer: Served | str = ours.recv()
        except EOFError:
            process.join()
            raise ValueError(f'the policy ended with code {process.exitcode} as it began') from None
        if isinstance(answer, str):
            raise ValueError(answer)
        yield answer
    finally:
        ours.close()
        process.join()


def _serve(policy: str, checkpoint: str, embodiment: Embodiment, parent: Connection) -> None:
    from dit4dit_policy.serving.server import PolicyServer

    try:
        loaded = find_plugin('dit4dit.policies', policy)(checkpoint, embodiment)
        server = PolicyServer(loaded, '127.0.0.1', 0)
    except (ValueError, OSError) as error:
        parent.send(str(error))
        return
    address = f'ws://127.0.0.1:{server.port}?timeout={_TIMEOUT}'
    facts = loaded.model_id, loaded.trained, loaded.cameras
    parent.send(Served(address, *facts, follow_of(loaded)))
    threading.Thread(target=_close_with, args=(parent, server.close), daemon=True).start()
    server.serve_forever()


def _close_with(parent: Connection, close: Callable[[], None]) -> None:
    """However the parent ends, its end of the pipe closes."""
    with suppress(EOFError, OSError):
        parent.recv()
    close()
