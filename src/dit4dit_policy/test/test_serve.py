"""`dit4dit serve`: a client written from the protocol's description, good requests and bad ones."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import msgpack
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dit4dit_policy.cli import main
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.remote import RemotePolicy
from dit4dit_policy.serving.server import PolicyServer
from dit4dit_policy.serving.worker import Worker
from g1_description import load_embodiment

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
HOME = load_embodiment().home(load_embodiment().state_names)
TOKEN = 'a secret of many letters'


def pack(value):
    def array(a):
        return {
            b'__ndarray__': True,
            b'data': a.tobytes(),
            b'dtype': a.dtype.str,
            b'shape': a.shape,
        }

    return msgpack.packb(value, default=array)


def unpack(data):
    def array(entry):
        if b'__ndarray__' in entry:
            return np.ndarray(entry[b'shape'], entry[b'dtype'], entry[b'data'])
        return entry

    return msgpack.unpackb(data, object_hook=array, strict_map_key=False)


class Client:
    """The server speaks first; then a request, an answer."""

    def __init__(self, port, **headers):
        self._socket = connect(
            f'ws://127.0.0.1:{port}',
            compression=None,
            max_size=None,
            proxy=None,
            additional_headers=headers,
        )

    def __enter__(self):
        self._connection = self._socket.__enter__()
        self.greeting = unpack(self._connection.recv(10))
        return self

    def __exit__(self, *reason):
        return self._socket.__exit__(*reason)

    def ask(self, request):
        return self.send(pack(request))

    def send(self, data):
        self._connection.send(data)
        return unpack(self._connection.recv(30))


@pytest.fixture(scope='module')
def policy():
    return DiT4DiTPolicy.untrained('nano')


@pytest.fixture(scope='module')
def server(policy):
    with served(policy) as server:
        yield server


class served:
    """A server in a thread, for a `with`."""

    def __init__(self, policy, token=''):
        self._server = PolicyServer(policy, '127.0.0.1', 0, token)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self._server

    def __exit__(self, *reason):
        self._server.close()
        self._thread.join()


def example(policy, **changes):
    state = policy.processor.encode_state(HOME).numpy()
    return {'image': [IMAGE], 'lang': 'wave', 'state': state, **changes}


def test_a_published_client_gets_normalized_actions(policy, server):
    with Client(server.port) as client:
        assert client.greeting['env'] == 'g1_aloha'
        reply = client.ask(
            {
                'examples': [example(policy)],
                'do_sample': False,
                'use_ddim': True,
                'num_ddim_steps': 4,
            }
        )
        assert {k: reply[k] for k in ('status', 'ok', 'type', 'request_id')} == {
            'status': 'ok',
            'ok': True,
            'type': 'inference_result',
            'request_id': 'default',
        }
        actions = reply['data']['normalized_actions']
        assert actions.shape == (1, policy.horizon, policy.processor.action_dim)
        expected = policy.infer(Observation({'head': IMAGE}, HOME, 'wave'))
        wanted = policy.processor.encode_action(expected, HOME).numpy()
        np.testing.assert_allclose(actions[0], wanted, atol=1e-4)
        assert client.ask({'type': 'ping', 'request_id': '7'}) == {
            'status': 'ok',
            'ok': True,
            'type': 'ping',
            'request_id': '7',
        }


def test_several_examples_and_several_clients_get_what_each_would_get_alone(policy, server):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(6)]
    words = ['wave', 'wave', 'bow', 'wave', 'bow', 'wave']
    alone = [
        policy.infer(Observation({'head': image}, HOME, text))
        for image, text in zip(images, words, strict=True)
    ]
    together = policy.infer_batch(
        [
            Observation({'head': image}, HOME, text)
            for image, text in zip(images, words, strict=True)
        ]
    )
    np.testing.assert_allclose(together, alone, atol=1e-4)
    examples = [
        {'image': image, 'lang': text, 'state': HOME}
        for image, text in zip(images, words, strict=True)
    ]
    answers = {}

    def ask(number):
        with Client(server.port) as client:
            several = examples[2 * number : 2 * number + 2]
            reply = client.ask({'examples': several, 'units': 'physical'})
            answers[number] = reply['data']['actions']

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = np.concatenate([answers[number] for number in range(3)])
    np.testing.assert_allclose(got, alone, atol=1e-4)


def test_the_remote_policy_gives_the_chunks_of_the_policy_itself(policy, server):
    remote = RemotePolicy(f'ws://127.0.0.1:{server.port}', load_embodiment(), reply_timeout=30)
    assert remote.cameras == ('head',) and remote.horizon == 16 and not remote.trained
    seen = Observation({'head': IMAGE}, HOME + 0.01, 'wave')
    np.testing.assert_array_equal(remote.infer(seen), policy.infer(seen))
    remote.close()


def nan(state):
    state = state.copy()
    state[3] = np.nan
    return state


#: What is asked, of a good example, and what the answer has to say.
BAD = [
    (lambda e: None, 'expected a map'),
    (lambda e: [1, 2], 'expected a map'),
    (lambda e: {}, 'examples: expected a list of 1 to 16, got NoneType'),
    (lambda e: {'examples': []}, 'got 0'),
    (lambda e: {'examples': [e] * 17}, 'got 17'),
    (lambda e: {'examples': e}, 'got dict'),
    (lambda e: {'examples': ['wave']}, r'examples\[0\]: expected image, lang and state'),
    (lambda e: {'examples': [e | {'image': []}]}, 'one image each of head, got 0'),
    (lambda e: {'examples': [e | {'image': [IMAGE, IMAGE]}]}, 'one image each of head, got 2'),
    (lambda e: {'examples': [e | {'image': [IMAGE[:, :, 0]]}]}, r'got uint8 \(48, 64\)'),
    (lambda e: {'examples': [e | {'image': [IMAGE / 255]}]}, 'got float64'),
    (lambda e: {'examples': [e | {'image': [b'\x89PNG']}]}, 'expected uint8 arrays'),
    (lambda e: {'examples': [e | {'image': np.zeros((1, 5000, 3), np.uint8)}]}, '4096 pixels'),
    (lambda e: {'examples': [e | {'image': np.zeros((0, 9, 3), np.uint8)}]}, r'\(0, 9, 3\)'),
    (lambda e: {'examples': [e | {'lang': ''}]}, 'lang: expected an instruction'),
    (lambda e: {'examples': [e | {'lang': 5}]}, 'lang: expected an instruction'),
    (lambda e: {'examples': [e | {'lang': 'x' * 2001}]}, 'lang: expected an instruction'),
    (lambda e: {'examples': [e | {'state': e['state'][:5]}]}, 'encoded numbers, .* got 5'),
    (lambda e: {'examples': [e | {'state': nan(e['state'])}]}, 'vector of finite numbers'),
    (lambda e: {'examples': [e | {'state': 'home'}]}, 'vector of finite numbers'),
    (lambda e: {'examples': [e, e | {'state': None}]}, r'examples\[1\]\.state'),
    (lambda e: {'examples': [e], 'units': 'degrees'}, 'units: expected normalized or physical'),
    (lambda e: {'examples': [e], 'units': np.zeros(3)}, 'units: expected normalized or physical'),
    (lambda e: {'examples': [e], 'type': 'dance'}, 'type: expected infer or ping'),
    (lambda e: {'examples': [e], 'type': np.zeros(3)}, 'type: expected infer or ping'),
    (lambda e: {'examples': [e | {'state': [0.0] * 100_000}]}, 'at most 100000 values'),
    (lambda e: [[[]] * 1000] * 100, 'at most 100000 values'),
]
RAW = [
    ('hello', 'expected a binary message'),
    (b'', 'expected one MessagePack value'),
    (b'\xc1', 'expected one MessagePack value'),
    (b'\x81\xa1a', 'expected one MessagePack value'),
    (msgpack.packb({b'__ndarray__': True, b'dtype': '|O', b'data': b'', b'shape': []}), 'dtype'),
    (msgpack.packb({b'__ndarray__': True}), 'array: expected'),
    (b'\x91' * 3000 + b'\xc0', 'expected one MessagePack value'),
    (b'\xdd\x01\0\0\0' + b'\x90' * 2**24, 'exceeds max_array_len'),
    (os.urandom(1000), 'expected'),
]


def test_bad_requests_are_answered_with_what_was_expected_and_harm_nobody(policy, server):
    good = {'examples': [example(policy)]}
    with Client(server.port) as other, Client(server.port) as client:
        for change, text in BAD:
            reply = client.ask(change(example(policy)))
            assert (reply['status'], reply['ok']) == ('error', False)
            assert re.search(text, reply['error']['message']), (text, reply)
        for data, text in RAW:
            reply = client.send(data)
            assert not reply['ok'] and re.search(text, reply['error']['message']), (text, reply)
        assert client.ask(good)['ok'] and other.ask(good)['ok']


def test_a_client_that_sends_too_much_or_goes_in_the_midst_is_the_only_one_to_lose(policy, server):
    with Client(server.port) as other:
        with pytest.raises(Exception, match='1009'), Client(server.port) as greedy:
            greedy.send(bytes(2**26))
        with Client(server.port) as hasty:
            hasty._connection.send(pack({'examples': [example(policy)]}))
            hasty._connection.socket.close()
        assert other.ask({'examples': [example(policy)]})['ok']


class Moody:
    """A policy that fails at one instruction."""

    cameras = ('head',)
    step, horizon, model_id, trained = 0.1, 2, 'moody', True
    embodiment = load_embodiment()

    def infer(self, observation, prefix=None):
        if observation.instruction == 'fail':
            raise RuntimeError('out of sorts')
        return np.zeros((2, 16))


def silent(port):
    """A client that says hello, and neither reads nor answers."""
    client = socket.create_connection(('127.0.0.1', port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hello = 'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    hello += 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
    client.sendall(hello.encode())
    return client


def test_clients_that_never_read_hold_up_neither_others_nor_the_end(monkeypatch):
    monkeypatch.setattr('dit4dit_policy.serving.server._SEND_TIMEOUT', 1)
    with contextlib.ExitStack() as stack:
        with served(Moody()) as server:
            for _ in range(30):
                stack.enter_context(silent(server.port))
            flood = stack.enter_context(silent(server.port))
            flood.settimeout(0.2)  # a server that waits for it takes nothing any more
            with pytest.raises(OSError), Client(server.port) as other:
                while True:
                    flood.sendall((b'\x82\x81\0\0\0\0\xc0') * 1000)  # each is answered
                    assert other.ask({'type': 'ping'})['ok']
            start = time.monotonic()
        assert time.monotonic() - start < 30  # seconds, and not one after the other


def test_one_client_too_many_is_turned_away_in_words(monkeypatch):
    monkeypatch.setattr('dit4dit_policy.serving.server._MOST_CLIENTS', 1)
    with served(Moody()) as server, Client(server.port) as first:
        with pytest.raises(InvalidStatus, match='503'), Client(server.port):
            pass
        remote = RemotePolicy(f'ws://127.0.0.1:{server.port}', load_embodiment())
        with pytest.raises(ConnectionError, match='refused with 503: too many clients'):
            remote.infer(Observation({'head': IMAGE}, HOME, 'wave'))
        assert first.ask({'type': 'ping'})['ok']


def test_what_is_asked_when_the_server_has_ended_is_refused():
    worker = Worker(Moody())
    seen = Observation({'head': IMAGE}, HOME, 'wave')
    assert len(worker.submit([seen]).result(60)) == 1
    worker.close()
    with pytest.raises(ValueError, match='the server ends'):
        worker.submit([seen]).result(60)


class Batching(Moody):
    """Keeps how much it was asked at once."""

    def __init__(self):
        self.asked = []

    def infer_batch(self, observations):
        self.asked.append(len(observations))
        return [self.infer(seen) for seen in observations]


def test_no_more_is_inferred_at_once_than_there_is_room_for():
    policy = Batching()
    worker = Worker(policy, largest_batch=8)
    assert len(worker.submit([Observation({'head': IMAGE}, HOME, 'wave')] * 16).result(60)) == 16
    worker.close()
    assert policy.asked == [8, 8]


def test_a_policy_that_fails_is_said_to_and_the_server_goes_on():
    with served(Moody()) as server, Client(server.port) as client:
        seen = {'image': IMAGE, 'lang': 'fail', 'state': HOME}
        reply = client.ask({'examples': [seen], 'units': 'physical'})
        assert reply['error']['message'] == 'RuntimeError: out of sorts'
        reply = client.ask({'examples': [seen]})
        assert 'moody normalises nothing; send units: physical' in reply['error']['message']
        reply = client.ask({'examples': [seen | {'lang': 'wave'}], 'units': 'physical'})
        assert reply['data']['actions'].shape == (1, 2, 16)


def test_without_the_token_nobody_is_let_in(monkeypatch):
    with served(Moody(), TOKEN) as server:
        for headers in (
            {},
            {'Authorization': 'Api-Key wrong'},
            {'Authorization': 'Api-Key größer'},
        ):
            with pytest.raises(InvalidStatus, match='401'), Client(server.port, **headers):
                pass
        with Client(server.port, Authorization=f'Api-Key {TOKEN}') as client:
            assert client.greeting['policy']['model_id'] == 'moody'
        monkeypatch.delenv('DIT4DIT_TOKEN', raising=False)
        remote = RemotePolicy(f'ws://127.0.0.1:{server.port}', load_embodiment())
        with pytest.raises(ConnectionError, match='with 401: expected a token, see DIT4DIT_TOKEN'):
            remote.infer(Observation({'head': IMAGE}, HOME, 'wave'))
        monkeypatch.setenv('DIT4DIT_TOKEN', TOKEN)
        remote = RemotePolicy(f'ws://127.0.0.1:{server.port}', load_embodiment())
        assert remote.infer(Observation({'head': IMAGE}, HOME, 'wave')).shape == (2, 16)
        remote.close()
        page = f'http://127.0.0.1:{server.port}/healthz'
        with urllib.request.urlopen(page, timeout=60) as health:
            assert health.status == 200


def test_other_machines_are_served_with_a_token_only_and_at_ports_there_are(capsys, monkeypatch):
    monkeypatch.delenv('DIT4DIT_TOKEN', raising=False)
    assert main(['serve', '--host', '0.0.0.0']) == 2
    assert 'set DIT4DIT_TOKEN to a secret' in capsys.readouterr().err
    assert main(['serve', '--port', '99999']) == 2
    assert '--port 99999: ' in capsys.readouterr().err


def test_the_command_says_where_it_is_and_ends_in_peace():
    code = 'import sys; from dit4dit_policy.cli import main; sys.exit(main())'
    process = subprocess.Popen(
        [sys.executable, '-c', code, 'serve', '--port', '0'], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        port = int(re.fullmatch(r'small for g1_aloha at ws://127\.0\.0\.1:(\d+)\n', line)[1])
        remote = RemotePolicy(f'ws://127.0.0.1:{port}', load_embodiment(), reply_timeout=60)
        seen = Observation({'head': IMAGE}, HOME, 'wave')
        assert remote.infer(seen).shape == (16, 16)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert time.monotonic() - start < 30
        assert process.stdout.read().startswith('answers: 1 ok, 0 refused, 0 failed; ')
        with pytest.raises(ConnectionError):
            remote.infer(seen)
    finally:
        process.kill()
