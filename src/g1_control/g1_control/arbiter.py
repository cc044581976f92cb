"""Whose targets are followed: one source at a time, the operator before the policy. No ROS."""

from __future__ import annotations

import math

from g1_control.chunk_buffer import Chunk
from g1_description.control_source import ControlSource


class Arbiter:
    """The operator takes the arms by asking for a motion, and has them until they are given back.

    They are not given back by silence: an operator who is not heard any more may have lost the
    headset, and the policy would go on with what it was stopped for. Times are those of stamps [s].

    Attributes:
        source: who has the arms.
    """

    def __init__(self) -> None:
        self.source = ControlSource.NOBODY
        self._given_back = -math.inf
        self._counted = (0, -math.inf)  # number and stamp of the newest counted chunk since arming
        self._restarted = False  # the policy, since then

    def arm(self) -> None:
        """Chunks are counted anew."""
        self._counted, self._restarted = (0, -math.inf), False

    def release(self) -> None:
        """Nobody has the arms, as they are not armed."""
        self.source = ControlSource.NOBODY

    def take(self, source: ControlSource) -> bool:
        """`source` asks for a motion; whether the operator takes the arms with that."""
        if source is not ControlSource.OPERATOR or self.source is source:
            return False
        self.source = source
        return True

    def give_back(self, now: float) -> tuple[bool, str]:
        """The operator gives the arms to whoever asks next. Says whether, and what comes of it."""
        if self.source is not ControlSource.OPERATOR:
            return True, 'the operator does not have the arms'
        self.source, self._given_back = ControlSource.NOBODY, now
        return True, 'the operator has given the arms back; the next chunk is followed'

    def ignores(self, chunk: Chunk, now: float) -> str:
        """Why a chunk is not followed, however good it is; '' where it is.

        A chunk knows nothing of what the operator did after its picture was taken.
        """
        if chunk.source is ControlSource.OPERATOR:
            return ''
        if self.source is ControlSource.OPERATOR:
            self._restarted = self.restarted(chunk)
            self._count(chunk)
            return 'the operator has the arms, and has not given them back'
        if chunk.stamp < self._given_back <= now:
            return 'its picture is from before the operator gave the arms back'
        return ''

    def restarted(self, chunk: Chunk) -> bool:
        """Whether the policy that made it has begun to count anew since the arms were armed."""
        number, stamp = self._counted
        return self._restarted or (0 < chunk.number <= number and chunk.stamp > stamp)

    def accepted(self, chunk: Chunk) -> None:
        """A chunk is followed from now on."""
        self.source = chunk.source
        self._count(chunk)

    def _count(self, chunk: Chunk) -> None:
        if chunk.number:
            self._counted = (chunk.number, chunk.stamp)
