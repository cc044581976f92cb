"""A policy behind a socket: asked, checked, missed and found again. The server is a test double."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.remote import RemotePolicy, load
from dit4dit_policy.serving.wire import WireError, pack, unpack
from g1_description import Camera, Embodiment, Group

TOY = Embodiment(
    name='toy',
    robot_type='toy',
    rate=10.0,
    groups=(
        Group('arm', ('a', 'b'), ('a', 'b'), state_encoding='sin_cos'),
        Group('hand', ('grip',), ('grip',), state_encoding='none'),
    ),
    cameras={
        'front': Camera('front', 'front', 32, 24),
        'side': Camera('side', 'side', 32, 24, model=False),
    },
)
GREETING: dict[str, Any] = {
    'env': 'toy',
    'policy': {
        'model_id': 'stub',
        'trained': False,
        'state_names': ['a', 'b', 'grip'],
        'action_names': ['a', 'b', 'grip'],
        'cameras': ['front', 'side'],
        'step': 0.05,
        'horizon': 8,
    },
}
SEEN = Observation(
    {
        'front': np.full((24, 32, 3), 50, np.uint8),
        'side': np.full((24, 32, 3), 90, np.uint8),
    },
    np.array([0.1, 0.2, 0.03]),
    'wave',
)


def ok(data):
    return {'status': 'ok', 'ok': True, 'type': 'inference_result', 'request_id': '1', 'data': data}


class Double:
    """Greets, keeps the requests, answers each with what `answer` makes of it."""

    def __init__(self, greeting=GREETING, port=0):
        self.requests = []
        self.answer = lambda request: ok({'actions': np.full((1, 8, 3), 0.5)})
        self._greeting = greeting
        self._server = serve(self._speak, '127.0.0.1', port, compression=None, max_size=2**25)
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self._connections = []

    def _speak(self, connection):
        self._connections.append(connection)
        with contextlib.suppress(ConnectionClosed):
            connection.send(pack(self._greeting))
            for message in connection:
                self.requests.append(unpack(message))
                answer = self.answer(self.requests[-1])
                connection.send(answer if isinstance(answer, bytes | str) else pack(answer))

    def kill(self):
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it is gone already
                connection.socket.shutdown(socket.SHUT_RDWR)  # its reader sees that, but no close
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def double():
    server = Double()
    yield server
    server.kill()


def ask(server, **options):
    return RemotePolicy(f'ws://127.0.0.1:{server.port}', TOY, **options)


def test_it_is_what_the_server_says_and_answers_what_the_server_answers(double):
    policy = ask(double)
    assert policy.cameras == ('front', 'side') and policy.step == 0.05 and policy.horizon == 8
    assert policy.model_id == f'stub at 127.0.0.1:{double.port}' and not policy.trained
    double.answer = lambda request: ok({'actions': np.arange(24.0).reshape(1, 8, 3)})
    np.testing.assert_array_equal(policy.infer(SEEN), np.arange(24.0).reshape(8, 3))
    (example,) = double.requests[0]['examples']
    assert example['lang'] == 'wave'
    np.testing.assert_array_equal(example['state'], SEEN.state)
    assert [image.mean() for image in example['image']] == [50, 90]
    policy.close()


def test_a_published_server_gets_what_its_clients_send(tmp_path):
    bounds = {'min': [-1.0, -2.0, 0.0], 'max': [1.0, 2.0, 0.04]}
    file = tmp_path / 'dataset_statistics.json'
    file.write_text(json.dumps({'toy': {'state': bounds, 'action': bounds}}))
    server = Double({'env': 'simpler_env'})
    try:
        with pytest.raises(ValueError, match=r'\?statistics=FILE'):
            ask(server)
        policy = load(f'ws://127.0.0.1:{server.port}?statistics={file}', TOY)
        padded = np.zeros((1, 16, 32), np.float32)
        padded[:, :, :3] = (0.5, -1.0, 1.0)
        server.answer = lambda request: ok({'normalized_actions': padded})
        targets = policy.infer(SEEN)
        np.testing.assert_allclose(targets, np.tile([0.5, -2.0, 0.04], (16, 1)), atol=1e-6)
        (example,) = server.requests[0]['examples']
        assert [image.shape for image in example['image']] == [(224, 224, 3)]
        expected = [*np.sin([0.1, 0.2]), *np.cos([0.1, 0.2]), 0.03]
        np.testing.assert_allclose(example['state'], [expected], atol=1e-6)
        policy.close()
        model = {'framework': {'action_model': {'state_dim': 64}}}
        (tmp_path / 'config.yaml').write_text(yaml.safe_dump(model))
        policy = load(f'ws://127.0.0.1:{server.port}?statistics={file}', TOY)
        policy.infer(SEEN)
        padded_state = [[*expected, *[0.0] * 59]]
        np.testing.assert_allclose(
            server.requests[-1]['examples'][0]['state'], padded_state, atol=1e-6
        )
        policy.close()
    finally:
        server.kill()


BOUNDS = {kind: {'min': [-1.0] * 3, 'max': [1.0] * 3} for kind in ('state', 'action')}


@pytest.mark.parametrize(
    ('statistics', 'text'),
    [
        ('{', r'dataset_statistics\.json: Expecting property name'),
        ('[1]', 'expected statistics of names and values'),
        ('{}', 'expected min and max of state and action'),
        (json.dumps({'toy': {'action': BOUNDS['action']}}), 'expected min and max of state'),
        (json.dumps({'a': BOUNDS, 'b': BOUNDS}), 'statistics of toy, .* got those of a, b'),
        (json.dumps({'a': {k: {'min': [0.0], 'max': [1.0]} for k in BOUNDS}}), 'needs 3 finite'),
    ],
)
def test_statistics_that_are_none_or_of_others_are_refused(tmp_path, statistics, text):
    file = tmp_path / 'dataset_statistics.json'
    file.write_text(statistics)
    with pytest.raises(ValueError, match=text):
        load(f'ws://127.0.0.1:1?statistics={file}', TOY)


def test_of_several_statistics_those_of_the_robot_are_taken(tmp_path):
    file = tmp_path / 'dataset_statistics.json'
    mine = {'state': BOUNDS['state'], 'action': {'min': [-9.0] * 3, 'max': [9.0] * 3}}
    file.write_text(json.dumps({'other': BOUNDS, 'toy': mine}))
    server = Double({'env': 'simpler_env'})
    server.answer = lambda request: ok({'normalized_actions': np.ones((1, 4, 3), np.float32)})
    try:
        policy = load(f'ws://127.0.0.1:{server.port}?statistics={file}', TOY)
        np.testing.assert_array_equal(policy.infer(SEEN), np.full((4, 3), 9.0))
        policy.close()
        for config, text in (('framework: 5', r'framework\.action_model'), ('{', 'action_model')):
            (tmp_path / 'config.yaml').write_text(config)
            with pytest.raises(ValueError, match=text):
                load(f'ws://127.0.0.1:{server.port}?statistics={file}', TOY)
    finally:
        server.kill()


def test_a_server_that_dies_is_said_and_found_again():
    server = Double()
    policy = ask(server)
    assert policy.infer(SEEN).shape == (8, 3)
    server.kill()
    for _ in range(2):
        with pytest.raises(ConnectionError, match=f'127.0.0.1:{server.port}'):
            policy.infer(SEEN)
    again = Double(port=server.port)
    try:
        assert policy.infer(SEEN).shape == (8, 3)
        policy.close()
    finally:
        again.kill()


def test_a_server_that_starts_later_is_found():
    server = Double()
    port = server.port
    server.kill()
    policy = RemotePolicy(f'ws://127.0.0.1:{port}', TOY)
    assert policy.cameras == ('front',)  # as the embodiment says
    with pytest.raises(ConnectionError, match='no policy server answers'):
        policy.infer(SEEN)
    server = Double(port=port)
    try:
        policy.infer(SEEN)
        assert policy.cameras == ('front', 'side')
        policy.close()
    finally:
        server.kill()


def test_a_slow_server_is_not_waited_for_and_its_late_answer_is_nobodys(double):
    policy = ask(double, reply_timeout=0.2)
    go_on = threading.Event()

    def late(request):
        go_on.wait(60)
        return ok({'actions': np.full((1, 8, 3), -7.0)})

    double.answer, punctual = late, double.answer
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r'no answer within 0\.2 s'):
        policy.infer(SEEN)
    assert time.monotonic() - start < 30
    double.answer = punctual
    go_on.set()
    assert (policy.infer(SEEN) == 0.5).all()
    policy.close()


@pytest.mark.parametrize(
    ('answer', 'text'),
    [
        ({'status': 'error', 'ok': False, 'error': 'no such key'}, 'refused.*no such key'),
        (ok({}), r'expected actions \(1, K, 3\), got none'),
        (ok({'actions': np.zeros((8, 3))}), r'got \(8, 3\)'),
        (ok({'actions': np.zeros((1, 8, 2))}), r'got \(1, 8, 2\)'),
        (ok({'actions': np.zeros((1, 0, 3))}), r'got \(1, 0, 3\)'),
        ('Traceback:\n  line 1\nKeyError: lang', "a text that ends 'KeyError: lang'"),
        (b'\xc1', 'expected one MessagePack value'),
        ([1, 2], 'expected an answer of names and values'),
    ],
)
def test_a_strange_answer_is_refused_in_words_and_the_next_is_taken(double, answer, text):
    policy = ask(double)
    double.answer, good = (lambda request: answer), double.answer
    with pytest.raises(ValueError, match=text):
        policy.infer(SEEN)
    double.answer = good
    assert policy.infer(SEEN).shape == (8, 3)
    policy.close()


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'state_names': ['x', 'y']}, 'its state is x, y; toy has a, b, grip'),
        ({'action_names': 5}, 'its action is not named; toy has a, b, grip'),
        ({'step': 0}, 'a policy with a step above 0, got 0'),
        ({'horizon': 'long'}, "a policy with a horizon above 0, got 'long'"),
        ({'cameras': None}, 'names its cameras'),
    ],
)
def test_a_server_for_another_robot_or_of_a_strange_policy_is_refused(changes, text):
    server = Double({'policy': {**GREETING['policy'], **changes}})
    try:
        with pytest.raises(ValueError, match=text):
            ask(server)
    finally:
        server.kill()


def test_a_policy_that_looks_at_a_camera_not_in_use_says_which(double):
    policy = ask(double)
    front = Observation({'front': SEEN.images['front']}, SEEN.state, 'wave')
    with pytest.raises(ValueError, match='looks at front, side, of which side was not in use'):
        policy.infer(front)
    policy.close()


def test_asking_a_server_takes_neither_torch_nor_ros():
    code = 'import sys, dit4dit_policy.inference.remote; print({"torch", "rclpy"} & {*sys.modules})'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'set()\n'


@pytest.mark.parametrize('address', ['', '127.0.0.1:10093', 'http://host:1', 'ws://'])
def test_an_address_is_that_of_a_websocket(address):
    with pytest.raises(
        ValueError, match=r'expected the address of a policy server, ws://HOST:PORT'
    ):
        load(address, TOY)


def test_arrays_travel_as_the_published_server_packs_them():
    array = np.arange(6, dtype='<i2').reshape(2, 3)
    message = {'a': array, 'n': np.float32(0.5), 'l': [1, 'two', None, True]}
    back = unpack(pack(message))
    np.testing.assert_array_equal(back['a'], array)
    assert back['a'].dtype == array.dtype and back['n'] == 0.5 and back['l'] == message['l']
    import msgpack

    assert msgpack.unpackb(pack(array)) == {
        b'__ndarray__': True,
        b'data': array.tobytes(),
        b'dtype': '<i2',
        b'shape': [2, 3],
    }


@pytest.mark.parametrize(
    'entry',
    [
        {b'__ndarray__': True, b'data': b'12', b'dtype': '|O', b'shape': [1]},
        {b'__ndarray__': True, b'data': b'12', b'dtype': 'no', b'shape': [1]},
        {b'__ndarray__': True, b'data': b'12', b'dtype': '<f4', b'shape': [1]},
        {b'__ndarray__': True, b'data': b'', b'dtype': '<f4', b'shape': [-1, 0]},
        {b'__ndarray__': True, b'data': 'ab', b'dtype': '|u1', b'shape': [2]},
        {b'__ndarray__': True},
        {b'__npgeneric__': True, b'data': 'x', b'dtype': '<f4'},
    ],
)
def test_what_is_no_array_is_refused(entry):
    import msgpack

    with pytest.raises(WireError, match=r'expected|needs'):
        unpack(msgpack.packb(entry))
