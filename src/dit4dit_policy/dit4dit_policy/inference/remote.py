"""`remote`: a policy on another machine, asked over a WebSocket.

Speaks the protocol of the published DiT4DiT server: WebSocket without compression, MessagePack (see
serving/wire.py). The server speaks first. A request is {examples: [{image: [...], lang, state}]},
a reply {status, ok, type, request_id, data}. `dit4dit serve` introduces itself with `policy`, and
then takes images and states as they are and answers `actions` in rad and m. Any other server is
given what the published clients give it: one picture of all cameras side by side, the encoded
state (1, D), padded; its normalized_actions (B, T, D) are scaled by the data's bounds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import yaml
from numpy.typing import NDArray
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.continuation import Prefix
from dit4dit_policy.serving.wire import MAX_BYTES, TOKEN_VARIABLE, pack, unpack
from g1_description import Embodiment

if TYPE_CHECKING:
    from dit4dit_policy.inference.processor import Processor

_CONNECT_TIMEOUT = 1.0  # [s]
_REPLY_TIMEOUT = 1.5  # [s] a chunk of an older image would hardly have anything left to execute
_IMAGE = (224, 224)  # what servers that do not say otherwise look at
_HORIZON = 16  # until a reply says otherwise


def load(checkpoint: str, embodiment: Embodiment) -> RemotePolicy:
    """The policy behind the address `checkpoint`, ws://HOST:PORT; see `ChunkPolicy`.

    ws://HOST:PORT?statistics=FILE names the dataset_statistics.json of a server that does not say
    what its actions mean; the config.yaml beside it says how many numbers its model takes for a
    state (without one: as many as there are). timeout=S is how long an answer may take (default:
    1.5 s, as a robot does not wait). ValueError where the address is none, or the server's robot
    another one; a server that is not there yet is tried again at each inference.
    """
    return RemotePolicy(checkpoint, embodiment)


class RemotePolicy:
    """A `ChunkPolicy` that asks a server; it connects again by itself."""

    def __init__(
        self,
        server: str,
        embodiment: Embodiment,
        *,
        connect_timeout: float = _CONNECT_TIMEOUT,
        reply_timeout: float = _REPLY_TIMEOUT,
    ) -> None:
        """server: its address, see `load`. Timeouts [s]."""
        address = urlsplit(server)
        if address.scheme not in ('ws', 'wss') or not address.hostname:
            raise ValueError(
                f"expected the address of a policy server, ws://HOST:PORT, got '{server}'"
            )
        self._address = address._replace(query='').geturl()
        self._embodiment = embodiment
        options = parse_qs(address.query)
        statistics = options.get('statistics')
        self._processor = _processor(Path(statistics[0]), embodiment) if statistics else None
        self._connect_timeout = connect_timeout
        timeout = options.get('timeout')
        self._reply_timeout = _seconds(timeout[0]) if timeout else reply_timeout
        self._connection: ClientConnection | None = None
        self._policy: Mapping[str, Any] = {}  # how the server introduced it
        self._horizon = _HORIZON
        with suppress(OSError):  # it may be started later
            self._connected()

    @property
    def embodiment(self) -> Embodiment:
        """The robot it is asked for."""
        return self._embodiment

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that the server looks at, or that the embodiment says the model sees."""
        return tuple(self._policy.get('cameras', self._embodiment.model_cameras))

    @property
    def step(self) -> float:
        """Time between two targets of a chunk [s]."""
        return float(self._policy.get('step', self._embodiment.step))

    @property
    def horizon(self) -> int:
        """Targets of the newest chunk."""
        return int(self._policy.get('horizon', self._horizon))

    @property
    def follow(self) -> int:
        """Targets of a chunk that the server's policy wants followed, at least."""
        return int(self._policy.get('follow', 0))

    @property
    def model_id(self) -> str:
        """What the server calls it, and where it is."""
        return f'{self._policy.get("model_id", "policy")} at {urlsplit(self._address).netloc}'

    @property
    def trained(self) -> bool:
        """False where the server says that its weights are random."""
        return bool(self._policy.get('trained', True))

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> NDArray[np.float64]:
        """(K, A) targets; a `prefix` is not continued.

        ConnectionError where the server is not there or too slow, until it is; ValueError with its
        words where it refuses the request, or its answer is not what was expected.
        """
        connection = self._connected()
        request = pack({'examples': [self._example(observation)], **self._options()})
        try:
            connection.send(request)
            reply = connection.recv(self._reply_timeout)
        except TimeoutError:
            self._drop()
            raise ConnectionError(
                f'{self._address}: no answer within {self._reply_timeout:g} s; the server is too '
                'slow, or the network is'
            ) from None
        except (OSError, WebSocketException) as error:
            self._drop()
            raise ConnectionError(f'{self._address}: the connection broke: {error}') from None
        return self._targets(self._data(reply), observation)

    def close(self) -> None:
        """Ends the connection."""
        self._drop()

    def _connected(self) -> ClientConnection:
        """The connection, made anew where there is none, when the server has introduced itself."""
        if self._connection is not None:
            return self._connection
        token = os.environ.get(TOKEN_VARIABLE)
        try:
            connection = connect(
                self._address,
                additional_headers={'Authorization': f'Api-Key {token}'} if token else None,
                compression=None,
                max_size=MAX_BYTES,
                open_timeout=self._connect_timeout,
                close_timeout=0.2,
                proxy=None,
            )
        except InvalidStatus as error:
            said = (error.response.body or b'').decode(errors='replace').strip()
            raise ConnectionError(
                f'{self._address}: refused with {error.response.status_code}: {said[:200]}'
            ) from None
        except (OSError, WebSocketException) as error:
            raise ConnectionError(
                f'{self._address}: no policy server answers ({error or "timeout"}); start it with '
                '`dit4dit serve`'
            ) from None
        try:
            greeting = _map(unpack(_bytes(connection.recv(self._connect_timeout))), 'a greeting')
            self._policy = self._checked(greeting.get('policy'))
        except ValueError:
            connection.close()
            raise
        except (OSError, WebSocketException) as error:
            connection.close()
            raise ConnectionError(
                f'{self._address}: it does not greet as policy servers do ({error or "timeout"})'
            ) from None
        self._connection = connection
        return connection

    def _checked(self, policy: Any) -> Mapping[str, Any]:
        """How the server introduces its policy. ValueError of a strange or another robot's."""
        if policy is None:
            if self._processor is None:
                raise ValueError(
                    f'{self._address}: the server does not say what its actions mean; name its '
                    f'dataset_statistics.json: {self._address}?statistics=FILE'
                )
            return {}
        robot, described = self._embodiment, _map(policy, 'a policy')
        for what, ours in (('state', robot.state_names), ('action', robot.action_names)):
            theirs = _names(described.get(f'{what}_names'))
            if theirs != ours:
                raise ValueError(
                    f'{self._address}: its {what} is {", ".join(theirs) or "not named"}; '
                    f'{robot.name} has {", ".join(ours)}'
                )
        for what in ('step', 'horizon'):
            value = described.get(what)
            if not isinstance(value, int | float) or not 0 < value < float('inf'):
                raise ValueError(
                    f'{self._address}: expected a policy with a {what} above 0, got {value!r:.80}'
                )
        follow = described.get('follow', 0)
        if type(follow) is not int or follow < 0:
            raise ValueError(
                f'{self._address}: expected a policy with a follow of 0 or more, got {follow!r:.80}'
            )
        if not _names(described.get('cameras')):
            raise ValueError(f'{self._address}: expected a policy that names its cameras')
        return described

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _example(self, observation: Observation) -> dict[str, Any]:
        if missing := [name for name in self.cameras if name not in observation.images]:
            raise ValueError(
                f'{self._address}: its policy looks at {", ".join(self.cameras)}, of which '
                f'{", ".join(missing)} was not in use when it was begun; begin it again'
            )
        if self._processor is None:
            image = [np.ascontiguousarray(observation.images[name]) for name in self.cameras]
            state = np.asarray(observation.state, np.float64)
        else:
            image = [self._processor.frame(observation.images)]
            state = self._processor.encode_state(observation.state).numpy()[None]
        return {'image': image, 'lang': observation.instruction, 'state': state}

    def _options(self) -> dict[str, Any]:
        if self._processor is None:
            return {'units': 'physical'}
        return {'do_sample': False, 'use_ddim': True, 'num_ddim_steps': 4}

    def _data(self, reply: str | bytes) -> Mapping[str, Any]:
        answer = _map(unpack(_bytes(reply)), 'an answer')
        if not answer.get('ok', answer.get('status') == 'ok'):
            error = answer.get('error', 'it does not say why')
            reason = error.get('message', error) if isinstance(error, Mapping) else error
            raise ValueError(f'{self._address} refused the request: {reason}')
        return _map(answer.get('data'), 'data')

    def _targets(self, data: Mapping[str, Any], observation: Observation) -> NDArray[np.float64]:
        name = 'actions' if self._processor is None else 'normalized_actions'
        width = len(self._embodiment.action_names)
        actions = np.asarray(data.get(name), np.float64)
        if (
            actions.ndim != 3
            or not len(actions)
            or not actions.shape[1]
            or actions.shape[2] < width
        ):
            raise ValueError(
                f'{self._address}: expected {name} (1, K, {width}), got '
                f'{actions.shape if name in data else "none"}'
            )
        self._horizon = actions.shape[1]
        if self._processor is None:
            return actions[0, :, :width]
        import torch

        return self._processor.decode_action(torch.from_numpy(actions[0]), observation.state)


def _processor(path: Path, embodiment: Embodiment) -> Processor:
    """Encodings of the embodiment's groups, with the bounds of a dataset_statistics.json."""
    from dit4dit_policy.inference.processor import Processor, encoded_states, seen_by

    if not path.is_file():
        raise ValueError(f'statistics: there is no file {path}')
    bounds = _bounds(path, embodiment.robot_type)
    try:
        limits: Any = {
            f'{kind}_{side}': tuple(map(float, bounds[kind][key]))
            for kind in ('state', 'action')
            for side, key in (('lower', 'min'), ('upper', 'max'))
        }
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f'{path}: expected min and max of state and action, as the training of the published '
            'model writes them'
        ) from None
    return Processor(
        embodiment=seen_by(embodiment, embodiment.model_cameras),
        **limits,
        image=_IMAGE,
        state_dim=_state_dim(path.with_name('config.yaml')) or encoded_states(embodiment),
        action_dim=len(embodiment.action_names),
        tasks={},
    )


def _bounds(path: Path, robot_type: str) -> Any:
    """Of the robot's type, or the only ones there are."""
    try:
        content = _map(json.loads(path.read_text()), 'statistics')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    if 'action' in content:
        return content
    if len(content) > 1 and robot_type not in content:
        raise ValueError(
            f'{path}: expected statistics of {robot_type}, or of one robot, got those of '
            f'{", ".join(content)}'
        )
    return content.get(robot_type) or next(iter(content.values()), {})


def _state_dim(path: Path) -> int:
    """Of the model whose training wrote that config.yaml; 0 where it is not there."""
    if not path.is_file():
        return 0
    try:
        return int(yaml.safe_load(path.read_text())['framework']['action_model']['state_dim'])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ValueError(
            f'{path}: expected framework.action_model.state_dim, as the training of the published '
            'model writes it'
        ) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float('inf'):
        raise ValueError(f"timeout: expected seconds above 0, got '{text}'")
    return seconds


def _bytes(message: str | bytes) -> bytes:
    if isinstance(message, str):
        last = (message.strip().splitlines() or [''])[-1]  # of a traceback, what went wrong
        raise ValueError(f'expected a binary message, got a text that ends {last[:200]!r}')
    return message


def _map(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f'expected {what} of names and values, got {value!r:.80}')
    return value


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
