"""Videos cut and joined by moving packets: no picture is encoded again, and no codec is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

_TICKS = 512  # of the new file to a frame: room for decoding times between those of two frames


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says of itself.

    codec: by its own name, as h264 or av1. shape: (H, W). parameters: what decoders are told
    before the first packet; pieces of one file share them.
    """

    codec: str
    pix_fmt: str
    shape: tuple[int, int]
    rate: Fraction | None = field(compare=False)
    parameters: bytes


def probe(path: Path) -> VideoFacts:
    """Reads no picture. ValueError: no video, or one that cannot be read; OSError: no file."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f'{path}: no video stream')
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError(f'{path}: its codec is not known here')
            return VideoFacts(
                codec=stream.codec_context.codec.canonical_name,
                pix_fmt=str(stream.pix_fmt),
                shape=(stream.height, stream.width),
                rate=stream.average_rate,
                parameters=bytes(stream.codec_context.extradata or b''),
            )
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from None


def count_frames(path: Path) -> int:
    """Of a video, without decoding it; errors as of `probe`."""
    try:
        with av.open(str(path)) as container:
            packets = container.demux(container.streams.video[0])
            return sum(packet.pts is not None for packet in packets)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from None


def key_frames(path: Path) -> list[int]:
    """Frames of a video that can be the first of a piece; errors as of `probe`."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            begin, rate = stream.start_time or 0, stream.average_rate or 0
            return sorted(
                round((packet.pts - begin) * packet.time_base * rate)
                for packet in container.demux(stream)
                if packet.pts is not None and packet.time_base is not None and packet.is_keyframe
            )
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from None


class VideoJoiner:
    """Puts pieces of videos of one rate behind each other in a new mp4, packet by packet.

    Packets keep the order they are decoded in and the times they are shown at (B-frames).
    """

    def __init__(self, path: Path, fps: int) -> None:
        self._fps, self._path = fps, path
        self._time_base = Fraction(1, _TICKS * fps)
        self._out = av.open(str(path), 'w', format='mp4')
        self._stream: Any = None
        self._facts: VideoFacts | None = None
        self._frames = 0
        self._decoded = -(2**62)  # when the last packet is decoded [ticks]

    def append(self, path: Path, first: int = 0, count: int | None = None) -> int:
        """Adds the frames `first` to `first + count - 1` of a video, or all; returns how many.

        Raises:
            ValueError: there are fewer, the first is no key frame, the codec is another one than
                before, or a file cannot be read or held by an mp4.
        """
        facts = probe(path)
        self._facts = self._facts or facts
        if self._facts != facts:
            raise ValueError(
                f'{path}: is {facts.codec} {facts.pix_fmt} {facts.shape}, which cannot follow '
                f'{self._facts.codec} {self._facts.pix_fmt} {self._facts.shape} of other settings '
                f'in one file; encode them alike'
            )
        added = 0
        try:
            with av.open(str(path)) as source:
                added = self._copy(source.streams.video[0], source, path, first, count)
        except av.FFmpegError as error:
            raise ValueError(
                f'{path}: {facts.codec} packets cannot be copied to an mp4: {error}; encode the '
                'video anew as h264'
            ) from None
        if added != count and count is not None:
            raise ValueError(f'{path}: expected {count} frames from frame {first}, got {added}')
        self._frames += added
        return added

    def _copy(self, stream: Any, source: Any, path: Path, first: int, count: int | None) -> int:
        if self._stream is None:
            self._stream = self._out.add_stream_from_template(stream, opaque=True)
            self._stream.time_base = self._time_base
        begin = stream.start_time or 0
        added = 0
        for packet in source.demux(stream):
            if packet.pts is None or packet.time_base is None:
                continue
            to_frames = packet.time_base * self._fps
            frame = round((packet.pts - begin) * to_frames) - first
            if frame < 0 or (count is not None and frame >= count):
                continue
            if frame == 0 and not packet.is_keyframe:
                raise ValueError(
                    f'{path}: frame {first} begins an episode but is no key frame; encode the '
                    'video anew with key frames where episodes begin'
                )
            decoded = packet.pts if packet.dts is None else packet.dts
            ticks = round(((decoded - begin) * to_frames - first + self._frames) * _TICKS)
            self._decoded = max(ticks, self._decoded + 1)
            packet.pts, packet.dts = _TICKS * (self._frames + frame), self._decoded
            packet.duration = _TICKS
            packet.time_base = self._time_base
            packet.stream = self._stream
            self._out.mux(packet)
            added += 1
        return added

    def __enter__(self) -> VideoJoiner:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._out.close()
        except av.FFmpegError:
            if kind is None:
                raise
