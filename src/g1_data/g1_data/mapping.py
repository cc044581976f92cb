"""Which columns of somebody else's dataset are what: a mapping file.

    # g1 dataset merge THEIRS --map map.yaml --out OURS
    embodiment: g1_aloha          # names, their order, parts and robot_type become those of it
    state: observation.state      # column of the state, where it is called otherwise
    action: action                # column of the action
    names:                        # their name of a number: ours, or null to leave it out
      kLeftShoulderPitch: left_shoulder_pitch_joint
    cameras:                      # their feature: a camera of the embodiment, a feature, or null
      observation.images.cam_left_high: head
      observation.images.cam_right_high: null
    leave_out: [observation.tactile]   # columns

Every entry is optional. Names may be nested in the dataset; here they are given one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from g1_data.schema import ACTION_KEY, STATE_KEY, Schema, Vector, expect, read_schema, short
from g1_description import Embodiment, load_embodiment

_ENTRIES = ('embodiment', 'state', 'action', 'names', 'cameras', 'leave_out')


@dataclass(frozen=True)
class Source:
    """Where a column's numbers are: in a column of the files, `size` a row, of which `pick`."""

    column: str
    size: int
    pick: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether all of its numbers are taken, in their order."""
        return self.pick == tuple(range(self.size))


@dataclass(frozen=True)
class Mapped:
    """A dataset's schema, and where in its files each column and video is."""

    schema: Schema
    columns: Mapping[str, Source]
    videos: Mapping[str, str]


@dataclass(frozen=True)
class ColumnMap:
    """Content of a mapping file; see the module."""

    embodiment: Embodiment | None = None
    state: str = STATE_KEY
    action: str = ACTION_KEY
    names: Mapping[str, str | None] = field(default_factory=dict)
    cameras: Mapping[str, str | None] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> ColumnMap:
        """The mapping in a YAML file; ValueError names the file and the entry that is wrong."""
        try:
            content = yaml.safe_load(Path(path).read_text()) or {}
            content = expect(content, dict, 'file', f'a mapping with some of {", ".join(_ENTRIES)}')
            if unknown := [str(key) for key in content if key not in _ENTRIES]:
                raise ValueError(f'expected {", ".join(_ENTRIES)}, got {", ".join(unknown)}')
            robot = content.get('embodiment')
            state, action = (
                expect(content.get(key, usual), str, key, 'the name of a column')
                for key, usual in (('state', STATE_KEY), ('action', ACTION_KEY))
            )
            columns = expect(content.get('leave_out') or [], list, 'leave_out', 'a list of columns')
            return cls(
                embodiment=None if robot is None else load_embodiment(str(robot)),
                state=state,
                action=action,
                names=_texts(content.get('names') or {}, 'names'),
                cameras=_texts(content.get('cameras') or {}, 'cameras'),
                leave_out=tuple(expect(c, str, 'leave_out', 'names of columns') for c in columns),
            )
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(f'{path}: {error}') from None

    def apply(self, info: Mapping[str, Any], modality: Any = None) -> Mapped:
        """A dataset as it is through this mapping.

        ValueError names what the mapping asks for and the dataset does not have, or info.json's
        entry that cannot be read.
        """
        given = expect(info.get('features'), dict, 'features', 'a mapping')
        renamed = {self.state: STATE_KEY, self.action: ACTION_KEY}
        dropped = {*self.leave_out, *(key for key, to in self.cameras.items() if to is None)}
        asked = {*renamed} - {STATE_KEY, ACTION_KEY}
        _refuse_unknown('columns', {*asked, *dropped, *self.cameras}, given)
        features = {renamed.get(k, k): v for k, v in given.items() if k not in dropped}
        theirs = read_schema({**info, 'features': features}, modality)
        known = {*theirs.state.names, *theirs.action.names}
        _refuse_unknown('names', set(self.names), known)
        state, pick_state = self._vector(theirs.state, 'state')
        action, pick_action = self._vector(theirs.action, 'action')
        videos = {self._key(video.key): video.key for video in theirs.videos.values()}
        schema = replace(
            theirs,
            robot_type=self.embodiment.robot_type if self.embodiment else theirs.robot_type,
            state=state,
            action=action,
            videos={
                short(ours): replace(theirs.videos_by_key[their], key=ours)
                for ours, their in videos.items()
            },
        )
        columns = {
            STATE_KEY: Source(self.state, len(theirs.state.names), pick_state),
            ACTION_KEY: Source(self.action, len(theirs.action.names), pick_action),
        }
        for name, extra in theirs.extras.items():
            columns[name] = Source(name, len(extra.names), tuple(range(len(extra.names))))
        return Mapped(schema, columns, videos)

    def _vector(self, theirs: Vector, kind: str) -> tuple[Vector, tuple[int, ...]]:
        """The vector in our names and order, and which numbers of theirs these are."""
        ours = {self.names.get(name, name): k for k, name in enumerate(theirs.names)}
        ours.pop(None, None)
        places = {str(name): k for name, k in ours.items()}
        parts: Mapping[str, tuple[int, int]] = {kind: (0, len(places))}
        if len(places) == len(theirs.names):
            parts = theirs.parts
        names = tuple(places)
        if self.embodiment is not None:
            robot = self.embodiment
            names = robot.state_names if kind == 'state' else robot.action_names
            slices = robot.state_slices() if kind == 'state' else robot.action_slices()
            parts = {n: (s.start, s.stop) for n, s in slices.items() if s.stop > s.start}
            if missing := [name for name in names if name not in places]:
                raise ValueError(
                    f'{kind}: expected the names of {robot.name}, missing {", ".join(missing)}; '
                    f'there are {", ".join(places)}'
                )
        if not names:
            raise ValueError(f'{kind}: no number is left')
        return Vector(names, parts, theirs.dtype), tuple(places[name] for name in names)

    def _key(self, theirs: str) -> str:
        ours = self.cameras.get(theirs) or theirs
        if self.embodiment is not None and ours in self.embodiment.cameras:
            return self.embodiment.cameras[ours].key
        return ours


def _texts(value: Any, where: str) -> dict[str, str | None]:
    content = expect(value, dict, where, 'a mapping of names to names')
    for key, to in content.items():
        expect(key, str, where, 'a mapping of names to names')
        if to is not None:
            expect(to, str, f'{where}: {key}', 'a name, or null')
    return content


def _refuse_unknown(what: str, wanted: set[str], there: Any) -> None:
    if unknown := sorted(wanted - set(there)):
        raise ValueError(
            f'{what}: the mapping names {", ".join(unknown)}, the dataset has '
            f'{", ".join(map(str, there)) or "none"}'
        )
