"""A stand-in for XRoboToolkit's PC service with a PICO headset behind it, for its real SDK.

    python -m g1_fakes.xr_service

listens where the service does, 127.0.0.1:60061, and sends the poses of somebody who draws circles
of 10 cm with both hands, until Ctrl-C. `g1 launch teleop_record.launch.py` and `g1 arm` beside it:
the arms of the simulated robot follow. With --keys the keys of the terminal move the hands and
press the buttons, so that an episode can be recorded without a headset.

The protocol is gRPC, service PXREAService.EAService of XRoboToolkit-PC-Service: the SDK sends a
SendBeat every half second, and reads ServerFeedback messages from WatchServerFeedback. One of them
is the JSON text that the headset's app sends for every picture it draws. The SDK looks for
connectAddr and connectPort in [Client] of a file PXREASetting.ini in its working folder.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import grpc

PORT = 60061
RATE = 90.0  # of a PICO headset [Hz]
_SERVICE = 'PXREAService.EAService'
_SERIAL = 'PA7L10MGG0000000G'  # of the headset
_CLIENTS = 4

Pose = tuple[float, float, float, float, float, float, float]


@dataclass(frozen=True)
class Measurement:
    """What the headset's app sends.

    Poses are x, y, z [m], qx, qy, qz, qw with x to the right, y up, z back, where the app was
    started; all zero: not tracked. Grips and triggers, left and right, are 0 to 1. buttons: those
    held, named as on the controllers: A, B, X, Y, left_menu, right_menu, left_stick, right_stick.
    """

    head: Pose
    left: Pose
    right: Pose
    grips: tuple[float, float] = (0.0, 0.0)
    triggers: tuple[float, float] = (0.0, 0.0)
    buttons: frozenset[str] = frozenset()


class XrService:
    """Serves the SDK from its making until `close`.

    Attributes:
        measure: what the headset measures at a time [s]; may be changed at any moment.
        asleep: whether the headset sends nothing.
        heartbeat: what the service takes to answer one [s]; the SDK waits for half a second.
        late: heartbeats answered by now that took longer than none.
    """

    def __init__(self, measure: Callable[[float], Measurement], port: int = PORT) -> None:
        """Raises OSError when the port is taken."""
        self.measure = measure
        self.asleep = False
        self.heartbeat = 0.0
        self.late = 0
        self._closed = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(2 * _CLIENTS), options=[('grpc.so_reuseport', 0)]
        )
        calls = {
            'SendBeat': grpc.unary_unary_rpc_method_handler(self._beat),
            'CancelServerFeedback': grpc.unary_unary_rpc_method_handler(
                lambda _request, _context: b''
            ),
            'WatchServerFeedback': grpc.unary_stream_rpc_method_handler(self._feedback),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, calls),)
        )
        try:
            self._server.add_insecure_port(f'127.0.0.1:{port}')
        except RuntimeError as error:
            raise OSError(
                f'port {port} is taken; does the real PC service run? ({error})'
            ) from None
        self._server.start()

    def close(self) -> None:
        """Ends every connection, as a service does that is stopped."""
        self._closed.set()
        self._server.stop(grace=None).wait()

    def _beat(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        if self.heartbeat > 0:
            time.sleep(self.heartbeat)
            self.late += 1
        return b''

    def _feedback(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield _field(1, b'deviceFind') + _field(3, _SERIAL.encode())
        due = time.monotonic()
        while context.is_active() and not self._closed.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / RATE, time.monotonic())
            if not self.asleep:
                state = _tracking(self.measure(time.time()), time.time_ns())
                yield _field(1, b'deviceStateJson') + _field(
                    15, _field(1, _SERIAL.encode()) + _field(2, state.encode())
                )


def circling(seconds: float) -> Measurement:
    """Somebody who draws a circle of 10 cm with both hands every six seconds.

    Between two of them they hold still, trembling as everybody does, and press their grips anew.
    """
    rest, moving = 1.0, 5.0
    since = seconds % (rest + moving)
    angle = 2 * math.pi * max(0.0, since - rest) / moving
    x = 0.2 + 1e-5 * math.sin(50 * seconds)
    y, z = 1.0 + 0.05 * math.sin(angle), -0.35 + 0.05 * math.cos(angle)
    grip = 0.0 if 0.2 < since < 0.6 else 1.0
    return Measurement(
        head=(x, 1.5, 0.0, 0.0, 0.0, 0.0, 1.0),
        left=(-x, y, z, 0.0, 0.0, 0.0, 1.0),
        right=(x, y, z, 0.0, 0.0, 0.0, 1.0),
        grips=(grip, grip),
    )


def _tracking(measurement: Measurement, stamp: int) -> str:
    """The text an app sends; what is measured is JSON within its JSON."""
    sides = (('left', 'X', 'Y', measurement.left), ('right', 'A', 'B', measurement.right))
    value = {
        'Head': {'pose': _comma(measurement.head), 'status': 3},
        'Controller': {
            side: {
                'pose': _comma(pose),
                'grip': grip,
                'trigger': trigger,
                'axisX': 0.0,
                'axisY': 0.0,
                'axisClick': f'{side}_stick' in measurement.buttons,
                'menuButton': f'{side}_menu' in measurement.buttons,
                'primaryButton': primary in measurement.buttons,
                'secondaryButton': secondary in measurement.buttons,
            }
            for (side, primary, secondary, pose), grip, trigger in zip(
                sides, measurement.grips, measurement.triggers, strict=True
            )
        },
        'timeStampNs': stamp,
        'Input': 1,
    }
    return json.dumps({'functionName': 'Tracking', 'value': json.dumps(value)})


def _comma(pose: Pose) -> str:
    return ','.join(map(str, pose))


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length: text, or a message within."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes([low]) if number < 0x80 else bytes([low | 0x80]) + _varint(number >> 7)


def main() -> int:
    """Draws circles, or follows the keys, until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='python -m g1_fakes.xr_service',
        description='A PICO headset and its PC service, for the real XRoboToolkit SDK.',
    )
    parser.add_argument('--port', type=int, default=PORT, help='default: %(default)s')
    parser.add_argument('--keys', action='store_true', help='keys of this terminal move the hands')
    given = parser.parse_args()
    if given.keys:
        from g1_fakes.hand_keys import HandKeys, follow

        hands = HandKeys()
        service = XrService(hands.measure, given.port)
        with suppress(KeyboardInterrupt):
            follow(hands)
    else:
        service = XrService(circling, given.port)
        print('both hands draw circles, until Ctrl-C', flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    service.close()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
