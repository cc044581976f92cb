"""What a dataset holds: the features of its info.json and the parts of its modality.json.

A `Schema` is made of an embodiment for a dataset that is recorded, or read from one on disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from g1_data import layout
from g1_description import Embodiment

#: Bookkeeping columns of every parquet file beside the features, and their types.
INDEX_COLUMNS = {
    'timestamp': 'float32',
    'frame_index': 'int64',
    'episode_index': 'int64',
    'index': 'int64',
    'task_index': 'int64',
}
STATE_KEY = 'observation.state'
ACTION_KEY = 'action'
#: Extras of a dataset whose frames are moments, not a film: the targets that follow each, step by
#: step from the first, and the state in which a gripper next begins to open or close.
CHUNK_KEY, KEYFRAME_KEY = 'chunk', 'keyframe'
#: What info.json counts.
TOTALS = ('total_episodes', 'total_frames', 'total_tasks')
#: What this package encodes itself; other codecs are copied as they are.
CODEC, PIX_FMT = 'h264', 'yuv420p'

_VECTOR_TYPES = ('float32', 'float64')
_NUMBERS = (*_VECTOR_TYPES, 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'bool')


@dataclass(frozen=True)
class Vector:
    """State or action of a dataset.

    names: of its numbers, in order [rad, m]. parts: part of the robot to the first of its numbers
    and the one after its last.
    """

    names: tuple[str, ...]
    parts: Mapping[str, tuple[int, int]]
    dtype: str = 'float32'


@dataclass(frozen=True)
class Video:
    """A camera of a dataset: its feature, (H, W) of its frames, and how they are encoded.

    codec and pix_fmt are empty where info.json does not say.
    """

    key: str
    shape: tuple[int, int]
    codec: str = CODEC
    pix_fmt: str = PIX_FMT


@dataclass(frozen=True)
class Extra:
    """A vector that a dataset holds for every frame beside what LeRobot asks for.

    names: of its numbers, with their units where they are not evident. dtype: as numpy names it.
    """

    names: tuple[str, ...]
    dtype: str = 'float32'


@dataclass(frozen=True)
class Schema:
    """What every frame of a dataset holds, how many there are a second, and of which robot.

    videos: by the name of the camera, in order. variant: the world of evaluation that it shows, ''
    for the usual one; such a dataset takes no other episodes, and nobody trains on it unasked.
    """

    robot_type: str
    fps: int
    state: Vector
    action: Vector
    videos: Mapping[str, Video]
    extras: Mapping[str, Extra] = field(default_factory=dict)
    variant: str = ''

    @classmethod
    def of(
        cls,
        embodiment: Embodiment,
        images: Mapping[str, tuple[int, int]],
        fps: int | None = None,
        extras: Mapping[str, Extra] | None = None,
        variant: str = '',
    ) -> Schema:
        """What an embodiment's dataset holds.

        Args:
            embodiment: gives names and parts of state and action, and the cameras' features.
            images: name of each camera to (H, W) of its stored video, both even.
            fps: frames per second; the embodiment's rate where none is given.
            extras: what every frame holds beside state, action and images.
            variant: the world of evaluation that it shows.

        Raises:
            ValueError: no such camera, a size that h264 cannot have, or a rate that is not whole.
        """
        cameras = embodiment.select_cameras(images)
        for name, (height, width) in images.items():
            if height % 2 or width % 2 or min(height, width) < 16:
                raise ValueError(
                    f'{name}: h264 with yuv420p needs an even height and width of at least 16, '
                    f'got {height}x{width}'
                )
        return cls(
            robot_type=embodiment.robot_type,
            fps=whole_rate(embodiment.rate if fps is None else fps),
            state=Vector(embodiment.state_names, _bounds(embodiment.state_slices())),
            action=Vector(embodiment.action_names, _bounds(embodiment.action_slices())),
            videos={c.name: Video(c.key, images[c.name]) for c in cameras},
            extras=dict(extras or {}),
            variant=variant,
        )

    @property
    def films(self) -> bool:
        """Whether each frame follows the one before; else they are moments, see `CHUNK_KEY`."""
        return CHUNK_KEY not in self.extras

    @property
    def videos_by_key(self) -> dict[str, Video]:
        """Feature of each camera to its video."""
        return {video.key: video for video in self.videos.values()}

    @property
    def columns(self) -> dict[str, tuple[int, str]]:
        """Size and type of every column of a parquet file that is no bookkeeping."""
        return {
            STATE_KEY: (len(self.state.names), self.state.dtype),
            ACTION_KEY: (len(self.action.names), self.action.dtype),
            **{name: (len(extra.names), extra.dtype) for name, extra in self.extras.items()},
        }

    def names(self, column: str) -> tuple[str, ...]:
        """What each number of a column is."""
        vectors = {STATE_KEY: self.state.names, ACTION_KEY: self.action.names}
        return vectors[column] if column in vectors else self.extras[column].names

    def features(self) -> dict[str, Any]:
        """The `features` of info.json."""
        return {
            **{video.key: _video_feature(video, self.fps) for video in self.videos.values()},
            **{
                name: {'dtype': dtype, 'shape': [size], 'names': list(self.names(name))}
                for name, (size, dtype) in self.columns.items()
            },
            **{
                name: {'dtype': dtype, 'shape': [1], 'names': None}
                for name, dtype in INDEX_COLUMNS.items()
            },
        }

    def info(self) -> dict[str, Any]:
        """info.json of a dataset without episodes."""
        return {
            'codebase_version': layout.VERSION,
            'robot_type': self.robot_type,
            'total_episodes': 0,
            'total_frames': 0,
            'total_tasks': 0,
            'total_videos': 0,
            'total_chunks': 0,
            'chunks_size': layout.CHUNK_SIZE,
            'fps': self.fps,
            'splits': {},
            'data_path': layout.DATA_PATH,
            'video_path': layout.VIDEO_PATH,
            'features': self.features(),
        } | ({'variant': self.variant} if self.variant else {})

    def modality(self) -> dict[str, Any]:
        """modality.json: the parts of the vectors, named as the published trainer asks for them."""
        return {
            **{
                kind: {name: {'start': a, 'end': b} for name, (a, b) in vector.parts.items()}
                for kind, vector in (('state', self.state), ('action', self.action))
            },
            'video': {short(key): {'original_key': key} for key in self.videos_by_key},
            'annotation': {'human.task_description': {'original_key': 'task_index'}},
        }


def read_schema(info: Mapping[str, Any], modality: Any = None) -> Schema:
    """The schema of a dataset on disk, from its info.json and what is in its modality.json.

    Cameras are called by the last word of their feature. Names may be nested, or missing: numbers
    without names are counted. Parts that modality.json does not give are one, called as the vector.

    Raises:
        ValueError: names the entry of info.json that is missing or not to be read.
    """
    given = expect(info.get('features'), dict, 'features', 'a mapping')
    videos = {
        short(key): _read_video(key, feature)
        for key, feature in given.items()
        if isinstance(feature, dict) and feature.get('dtype') == 'video'
    }
    missing = [key for key in (STATE_KEY, ACTION_KEY) if key not in given]
    if missing:
        raise ValueError(
            f'features: {" and ".join(missing)} is missing, there are '
            f'{", ".join(map(str, given)) or "none"}; a mapping file (--map) says which they are'
        )
    vectors = {}
    for kind, key in (('state', STATE_KEY), ('action', ACTION_KEY)):
        names, dtype = _read_numbers(key, given[key], _VECTOR_TYPES)
        vectors[kind] = Vector(names, _read_parts(modality, kind, len(names)), dtype)
    known = {STATE_KEY, ACTION_KEY, *INDEX_COLUMNS, *(video.key for video in videos.values())}
    extras = {
        key: Extra(*_read_numbers(key, feature, _NUMBERS))
        for key, feature in given.items()
        if key not in known
    }
    robot_type = info.get('robot_type') or 'unknown'
    return Schema(
        robot_type=expect(robot_type, str, 'robot_type', 'a text'),
        fps=whole_rate(info.get('fps')),
        videos=videos,
        extras=extras,
        variant=expect(info.get('variant') or '', str, 'variant', 'a text'),
        **vectors,
    )


def difference(one: Schema, other: Schema) -> tuple[str, Any, Any] | None:
    """What keeps two schemas out of one dataset: what it is, and what each of them has of it."""
    for key in ('fps', 'robot_type', 'variant'):
        if getattr(one, key) != getattr(other, key):
            return key, getattr(one, key) or 'none', getattr(other, key) or 'none'
    tables = one.features(), other.features()
    for name in sorted({*tables[0], *tables[1]}):
        a, b = (_facts(table.get(name, {})) for table in tables)
        for key in dict.fromkeys((*a, *b)):
            if a.get(key) != b.get(key):
                return f'{name}: {key}', a.get(key, 'none'), b.get(key, 'none')
    return None


def _facts(feature: Mapping[str, Any]) -> dict[str, Any]:
    """What counts of a feature."""
    about = feature.get('info', {})
    return {key: feature[key] for key in ('dtype', 'shape', 'names') if key in feature} | {
        key: about[key] for key in ('video.codec', 'video.pix_fmt') if key in about
    }


def whole_rate(fps: Any) -> int:
    """Frames per second as a whole number, also of 10.0; ValueError where it is none."""
    if isinstance(fps, bool) or not isinstance(fps, (int, float)):
        raise ValueError(f'fps: expected a whole number of at least 1, got {fps!r}')
    if not math.isfinite(fps) or fps != round(fps) or fps < 1:
        raise ValueError(
            f'fps: expected a whole number of at least 1, got {fps!r}; frames are found by it, so '
            'record or convert the videos at a whole rate'
        )
    return round(fps)


def expect(value: Any, kind: type | tuple[type, ...], where: str, expected: str) -> Any:
    """`value`, which has to be of that type and no bool unless asked for; ValueError otherwise."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        got = 'nothing' if value is None else repr(value)
        raise ValueError(f'{where}: expected {expected}, got {got[:100]}')
    return value


def short(key: str) -> str:
    """The last word of a feature's key, as ego_view of observation.images.ego_view."""
    return key.rsplit('.', 1)[-1]


def flat_names(names: Any) -> list[str]:
    """Names of numbers, however they are nested: as a list, or a mapping by group or to a place."""
    if isinstance(names, dict):
        if names and all(isinstance(place, int) for place in names.values()):
            return sorted(map(str, names), key=names.__getitem__)
        names = list(names.values())
    if isinstance(names, list):
        return [flat for name in names for flat in flat_names(name)]
    return [] if names is None else [str(names)]


def _bounds(slices: Mapping[str, slice]) -> dict[str, tuple[int, int]]:
    return {name: (s.start, s.stop) for name, s in slices.items() if s.stop > s.start}


def _video_feature(video: Video, fps: int) -> dict[str, Any]:
    height, width = video.shape
    return {
        'dtype': 'video',
        'shape': [height, width, 3],
        'names': ['height', 'width', 'channel'],
        'info': {
            'video.fps': float(fps),
            'video.height': height,
            'video.width': width,
            'video.channels': 3,
            'video.codec': video.codec,
            'video.pix_fmt': video.pix_fmt,
            'video.is_depth_map': False,
            'has_audio': False,
        },
    }


def _read_video(key: str, feature: Mapping[str, Any]) -> Video:
    where = f'features: {key}'
    shape = expect(feature.get('shape'), list, f'{where}: shape', '[height, width, 3]')
    if len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
        shape = [shape[1], shape[2], 3]  # channels first, as some write it
    if len(shape) != 3 or any(type(n) is not int or n < 1 for n in shape) or shape[2] != 3:
        raise ValueError(f'{where}: shape: expected [height, width, 3], got {shape}')
    about = feature.get('info') or feature.get('video_info') or {}
    about = expect(about, dict, f'{where}: info', "a mapping with the video's codec")
    codec, pix_fmt = (
        expect(about.get(name, ''), str, f'{where}: info: {name}', 'a text')
        for name in ('video.codec', 'video.pix_fmt')
    )
    return Video(key, (shape[0], shape[1]), codec, pix_fmt)


def _read_numbers(key: str, feature: Any, types: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Names and type of a column of numbers."""
    where = f'features: {key}'
    feature = expect(feature, dict, where, 'a mapping with dtype, shape and names')
    dtype, shape = feature.get('dtype'), feature.get('shape')
    if dtype not in types:
        raise ValueError(
            f'{where}: expected dtype {" or ".join(types)}, got {dtype!r}; a mapping file (--map) '
            'can leave it out'
        )
    if not isinstance(shape, list) or len(shape) != 1 or type(shape[0]) is not int or shape[0] < 1:
        raise ValueError(
            f'{where}: shape: expected one number of at least 1 in a list, got {shape!r}; a '
            'mapping file (--map) can leave it out'
        )
    size = shape[0]
    names = flat_names(feature.get('names'))
    if len(names) in (0, 1) and size != len(names):
        names = [f'{short(key)}_{k}' for k in range(size)]
    if len(names) != size:
        raise ValueError(f'{where}: names: expected {size} different names, got {len(names)}')
    if len(set(names)) != size:
        raise ValueError(f'{where}: names: expected {size} different names, got {len(set(names))}')
    return tuple(names), dtype


def _read_parts(modality: Any, kind: str, size: int) -> dict[str, tuple[int, int]]:
    given = modality.get(kind) if isinstance(modality, dict) else None
    if not isinstance(given, dict) or not given:
        return {kind: (0, size)}
    parts = {}
    for name, part in given.items():
        start, end = (part.get(k) if isinstance(part, dict) else None for k in ('start', 'end'))
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= size:
            raise ValueError(
                f'meta/modality.json: {kind}: {name}: expected start and end within 0 and {size}, '
                f'got {part!r}'
            )
        parts[name] = (start, end)
    return parts
