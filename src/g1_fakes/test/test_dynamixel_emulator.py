"""The emulated servos as ROBOTIS' own SDK sees them."""

import io
import json
import subprocess
import sys
import time

import dynamixel_sdk
import pytest
from dynamixel_sdk import COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS

from g1_fakes.dynamixel import MODEL, Bus, Port, Servo
from g1_fakes.dynamixel.protocol import crc16, packet
from g1_test_support.waiting import DEADLINE, wait_until

PACKETS = dynamixel_sdk.PacketHandler(2.0)
TORQUE, HARDWARE_ERROR, GOAL_CURRENT, GOAL_POSITION, CURRENT, VELOCITY, POSITION = (
    *(64, 70, 102, 116, 126, 128, 132),
)


class Wire(dynamixel_sdk.PortHandler):
    """Waits longer than the SDK's 34 ms, in which a busy machine may not let the servos answer."""

    patience = 1e3 * DEADLINE  # [ms]

    def setPacketTimeout(self, packet_length):
        self.setPacketTimeoutMillis(self.patience)


@pytest.fixture
def port(tmp_path):
    port = Port(tmp_path / 'left', [Servo(9), Servo(10)])
    yield port
    port.close()


@pytest.fixture
def wire(port):
    wire = Wire(str(port.path))
    assert wire.openPort()
    yield wire
    wire.closePort()


def write(wire, address, size, value):
    return getattr(PACKETS, f'write{size}ByteTxRx')(wire, 9, address, value)


def read(wire, address, size):
    value, result, _ = getattr(PACKETS, f'read{size}ByteTxRx')(wire, 9, address)
    assert result == COMM_SUCCESS
    return value


def engage(wire, goal):
    for address, size, value in ((11, 1, 5), (38, 2, 200), (GOAL_CURRENT, 2, 200), (TORQUE, 1, 1)):
        assert write(wire, address, size, value) == (COMM_SUCCESS, 0)
    assert write(wire, GOAL_POSITION, 4, goal) == (COMM_SUCCESS, 0)


def assert_no_answer(wire, number):
    """What is not there is not waited for."""
    wire.patience = 50.0
    assert PACKETS.ping(wire, number)[1] == COMM_RX_TIMEOUT
    wire.patience = Wire.patience


def test_its_crc_is_the_sdks():
    for data in (b'', b'\x00', bytes(range(256)), b'\xff\xff\xfd\x00\x01\x07\x00\x55'):
        assert crc16(data) == PACKETS.updateCRC(0, data, len(data))


def test_it_answers_a_ping_and_nobody_else_does(wire):
    assert PACKETS.ping(wire, 9) == (MODEL, COMM_SUCCESS, 0)
    assert_no_answer(wire, 11)
    found, result = PACKETS.broadcastPing(wire)
    assert (result, sorted(found)) == (COMM_SUCCESS, [9, 10])


def test_header_bytes_inside_an_answer_arrive(port, wire):
    """A velocity of -1 before a position that begins with FD looks like a header."""
    servo = port.servos[0]
    servo.read = lambda address, size: b'\xff\xff\xff\xff\xfd\x0a\x00\x00'[:size]
    data, result, _ = PACKETS.readTxRx(wire, 9, VELOCITY, 8)
    assert (result, bytes(data)) == (COMM_SUCCESS, b'\xff\xff\xff\xff\xfd\x0a\x00\x00')


def test_header_bytes_inside_an_instruction_are_unstuffed():
    servo = Servo(9)
    body = b'\x74\x00' + b'\xff\xff\xfd\x00'
    answer = Bus([servo], lambda *_, **__: None).feed(packet(9, 3, body), 0.0)
    assert answer == packet(9, 0x55, b'\x06')  # beyond one turn: a limit error, as sent
    servo.write(11, b'\x05')
    assert Bus([servo], lambda *_, **__: None).feed(packet(9, 3, body), 0.0)[8] == 0
    assert servo['goal_position'] == 0xFDFFFF


def test_several_servos_answer_one_read(port, wire):
    for kind in (dynamixel_sdk.GroupSyncRead, dynamixel_sdk.GroupBulkRead):
        group = kind(wire, PACKETS, *((POSITION, 4) if kind.__name__ == 'GroupSyncRead' else ()))
        for servo in port.servos:
            group.addParam(
                *(
                    (servo.id,)
                    if group.__class__ is dynamixel_sdk.GroupSyncRead
                    else (servo.id, POSITION, 4)
                )
            )
        assert group.txRxPacket() == COMM_SUCCESS
        assert [group.getData(s.id, POSITION, 4) for s in port.servos] == [2900, 2900]


def test_it_refuses_what_the_motor_would(wire):
    assert write(wire, POSITION, 4, 0) == (COMM_SUCCESS, 7)  # read only
    assert write(wire, 11, 1, 2) == (COMM_SUCCESS, 4)  # no such mode
    engage(wire, 2900)
    assert write(wire, 11, 1, 3) == (COMM_SUCCESS, 7)  # kept for good: not under torque
    assert write(wire, GOAL_CURRENT, 2, 300) == (COMM_SUCCESS, 6)  # beyond the current limit
    bad = bytearray(packet(9, 1, b''))
    bad[-1] ^= 1
    wire.writePort(bytes(bad))
    wire.setPacketTimeoutMillis(wire.patience)
    assert PACKETS.rxPacket(wire, False)[0][8] == 3  # wrong CRC


def test_it_moves_to_its_goal_and_grips_an_object_with_the_current_limit(port, wire):
    engage(wire, 3100)
    wait_until(lambda: read(wire, POSITION, 4) == 3100, 'the goal')
    port.do('object', 2800)
    write(wire, GOAL_POSITION, 4, 2500)
    wait_until(lambda: read(wire, POSITION, 4) == 2800, 'the object')
    assert read(wire, CURRENT, 2) == (-200) & 0xFFFF


def test_an_overloaded_motor_lets_go_alerts_and_is_well_after_a_reboot(port, wire):
    engage(wire, 2950)
    port.do('overload')
    value, result, error = PACKETS.read1ByteTxRx(wire, 9, HARDWARE_ERROR)
    assert (value, result, error & 0x80) == (1 << 5, COMM_SUCCESS, 0x80)
    assert write(wire, TORQUE, 1, 1)[1] & 0x80
    assert read(wire, TORQUE, 1) == 0
    assert PACKETS.reboot(wire, 9)[0] == COMM_SUCCESS
    wire.patience = 1000.0  # it does not answer while it boots
    wait_until(lambda: PACKETS.ping(wire, 9) == (MODEL, COMM_SUCCESS, 0), 'the reboot')
    wire.patience = Wire.patience
    assert read(wire, HARDWARE_ERROR, 1) == 0
    assert read(wire, 11, 1) == 5  # the mode is kept for good, torque is not
    assert read(wire, TORQUE, 1) == 0


def test_answers_get_lost_spoilt_and_late(port, wire):
    port.do('drop', 1)
    assert_no_answer(wire, 9)
    port.do('corrupt', 1)
    assert PACKETS.ping(wire, 9)[1] == COMM_RX_CORRUPT
    port.do('delay', 0.02)
    before = time.monotonic()
    assert PACKETS.ping(wire, 9)[1] == COMM_SUCCESS
    assert time.monotonic() - before >= 0.02
    with pytest.raises(ValueError, match='no such fault'):
        port.do('melt')


def test_unplugged_its_port_is_gone_and_comes_back_by_the_same_name(port, wire):
    engage(wire, 2950)
    port.do('unplug')
    assert not port.path.exists()
    with pytest.raises(OSError):
        for _ in range(100):
            PACKETS.ping(wire, 9)
    port.do('plug_in')
    again = Wire(str(port.path))
    assert again.openPort()
    assert PACKETS.read1ByteTxRx(again, 9, TORQUE)[0] == 1  # its power never went
    again.closePort()


def test_the_command_prints_where_its_ports_are_obeys_and_logs(tmp_path):
    log = tmp_path / 'log'
    with subprocess.Popen(
        [sys.executable, '-m', 'g1_fakes.dynamixel_emulator', '--folder', tmp_path, '--log', log],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert f'left_port:={tmp_path}/left' in process.stdout.readline()
        wire = Wire(str(tmp_path / 'right'))
        assert wire.openPort()
        assert PACKETS.ping(wire, 9)[1] == COMM_SUCCESS
        wire.closePort()
        process.stdin.write('{"port": "left", "do": "unplug"}\n')
        process.stdin.flush()
        wait_until(lambda: not (tmp_path / 'left').is_symlink(), 'the port to go')
        process.stdin.close()
        assert process.wait(timeout=DEADLINE) == 0
    events = [json.loads(line)['event'] for line in io.StringIO(log.read_text())]
    assert events[:4] == ['plugged in', 'plugged in', 'unplug', 'unplugged']
