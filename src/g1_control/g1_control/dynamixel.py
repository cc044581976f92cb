"""A serial port with ALOHA 2 grippers: servos in current-based position control. No ROS.

The current limit of 200 units for a follower's gripper is ALOHA's. The wire is ROBOTIS' own SDK.
What a gripper goes through is told in `gripper`.
"""

from __future__ import annotations

import struct
import termios
import time
from contextlib import suppress

from dynamixel_sdk import COMM_SUCCESS, GroupSyncRead, GroupSyncWrite, PacketHandler, PortHandler

from g1_control.gripper import COOLED, RETRY, Gripper
from g1_control.xm430 import (
    CURRENT_BASED_POSITION,
    CURRENT_LIMIT,
    CURRENT_UNIT,
    GOAL_CURRENT,
    GOAL_POSITION,
    KEPT_BLOCK,
    MODEL,
    OPERATING_MODE,
    READ_BLOCK,
    TORQUE_ENABLE,
    reboot_clears,
)

_QUIET = 0.04  # [s] after which no answer is on its way any more; the SDK waits 35 ms for one
_MISSES = 2  # cycles without an answer that make a servo silent


class ServoError(RuntimeError):
    """A servo did not answer, or refused."""


def _whole(data: bytes, size: int) -> bytes:
    """The SDK takes the answer to something else, come late, for the one asked for."""
    if len(data) != size:
        raise ServoError(f'an answer of {len(data)} bytes, expected {size}')
    return data


class GripperBus:
    """A serial port with its grippers. Call `cycle` at an even rate, always from one thread."""

    def __init__(self, port: str, baud_rate: int, grippers: list[Gripper]) -> None:
        self.port, self._baud_rate, self.grippers = port, baud_rate, grippers
        self._packets = PacketHandler(2.0)
        self._wire: PortHandler | None = None
        self._open_at = 0.0
        self._time: float | None = None

    def cycle(self, now: float) -> None:
        """One round at `now` [s]: reads all grippers, sends goals, sets up what is broken.

        Never raises for what a cable or a servo can do; each gripper's `fault` tells. Takes a few
        ms, and up to 0.15 s where a servo doesn't answer.
        """
        dt = 0.0 if self._time is None else now - self._time
        self._time = now
        for gripper in self.grippers:
            gripper.fresh = False
        try:
            if self._wire is None and not self._open(now):
                return
            self._read(now)
            self._engage()
            self._send_goals(dt)
            for gripper in self.grippers:
                if not gripper.ready and now >= gripper.retry_at:
                    self._set_up(gripper, now)
        except (OSError, termios.error) as error:
            self._lose_port(f'{self.port} is gone ({error})', now)

    def close(self) -> None:
        """Leaves the servos as they are: what they hold, they go on holding."""
        if self._wire is not None:
            with suppress(OSError, termios.error):
                self._wire.closePort()
            self._wire = None

    # --- port

    def _open(self, now: float) -> bool:
        if now < self._open_at:
            return False
        wire = PortHandler(self.port)
        wire.baudrate = self._baud_rate
        if not self._opened(wire):
            self._lose_port(f'no port {self.port}; is it plugged in?', now)
            return False
        wire.ser.timeout = 0.002  # the SDK polls without rest otherwise
        with suppress(OSError, ValueError):  # USB adapters only: no 16 ms of collecting bytes
            wire.ser.set_low_latency_mode(True)
        self._wire = wire
        return True

    def _opened(self, wire: PortHandler) -> bool:
        try:
            return wire.openPort()
        except (OSError, ValueError, termios.error):
            return False

    def _lose_port(self, fault: str, now: float) -> None:
        self.close()
        self._open_at = now + RETRY
        for gripper in self.grippers:
            gripper.lose(fault, now - RETRY)  # the port is asked first anyway

    # --- reading

    def _read(self, now: float) -> None:
        ready = [gripper for gripper in self.grippers if gripper.ready]
        if not ready:
            return
        group = GroupSyncRead(self._wire, self._packets, *READ_BLOCK)
        for gripper in ready:
            group.addParam(gripper.id)
        together = group.txRxPacket() == COMM_SUCCESS
        for gripper in ready:
            try:
                if together:
                    data = _whole(bytes(group.data_dict[gripper.id]), READ_BLOCK[1])
                else:
                    data = self._block(gripper, *READ_BLOCK)
            except ServoError as error:
                gripper.lost += 1
                gripper.misses += 1
                if gripper.misses >= _MISSES:
                    gripper.lose(str(error), now)
                continue
            gripper.take(data)
            gripper.judge(now)

    def _block(self, gripper: Gripper, address: int, size: int) -> bytes:
        data, result, _ = self._packets.readTxRx(self._wire, gripper.id, address, size)
        self._check(gripper, result)
        return _whole(bytes(data), size)

    def _check(self, gripper: Gripper, result: int, error: int = 0) -> None:
        if result != COMM_SUCCESS:
            raise ServoError(f'no answer from servo {gripper.id} on {self.port}')
        if error & 0x7F:
            text = self._packets.getRxPacketError(error & 0x7F)
            raise ServoError(f'servo {gripper.id} on {self.port} refuses: {text}')

    # --- commanding

    def _engage(self) -> None:
        """Torque on for grippers with a first command, from where they stand; off for released."""
        for gripper in self.grippers:
            if not gripper.ready or not gripper.fresh:
                continue
            with suppress(ServoError):  # next cycle again
                released = gripper.wanted is None or gripper.displaced
                if released and gripper.goal is not None:
                    self._write(gripper, TORQUE_ENABLE, 1, 0)
                    gripper.goal = None
                elif not released and gripper.goal is None:
                    assert gripper.reading is not None
                    goal = gripper.reading.opening
                    self._write(gripper, GOAL_POSITION, 4, gripper.calibration.ticks(goal))
                    self._write(gripper, TORQUE_ENABLE, 1, 1)
                    gripper.goal = goal

    def _send_goals(self, dt: float) -> None:
        group = GroupSyncWrite(self._wire, self._packets, GOAL_POSITION, 4)
        for gripper in self.grippers:
            commanded = gripper.goal is not None and gripper.wanted is not None
            if gripper.ready and commanded and not gripper.displaced:
                ticks = gripper.calibration.ticks(gripper.next_goal(dt))
                group.addParam(gripper.id, list(struct.pack('<i', ticks)))
        if group.data_dict:
            group.txPacket()

    def _write(self, gripper: Gripper, address: int, size: int, value: int) -> None:
        data = list(value.to_bytes(size, 'little', signed=value < 0))
        result, error = self._packets.writeTxRx(self._wire, gripper.id, address, size, data)
        self._check(gripper, result, error)

    # --- setting up

    def _set_up(self, gripper: Gripper, now: float) -> None:
        """Makes a servo ready, if it answers and is well."""
        gripper.retry_at = now + RETRY
        time.sleep(_QUIET)
        try:
            model, result, _ = self._packets.ping(self._wire, gripper.id)
            self._check(gripper, result)
            if model != MODEL:
                raise ServoError(f'servo {gripper.id} is a model {model}, not an XM430-W350')
            goal = gripper.take(self._block(gripper, *READ_BLOCK))
            gripper.judge(now)
            assert gripper.health is not None
            if gripper.health.errors:
                self._reboot_when_rested(gripper, now)
                return
            gripper.failed_at = None
            self._configure(gripper)
        except ServoError as error:
            gripper.lose(str(error), now)
            return
        if gripper.health.torque:  # it held something while nobody was there, and goes on
            gripper.goal = gripper.calibration.opening(goal)
            gripper.wanted = gripper.goal if gripper.wanted is None else gripper.wanted
        gripper.ready, gripper.misses = True, 0
        gripper.connections += 1

    def _configure(self, gripper: Gripper) -> None:
        """Mode and currents; what the servo keeps for good is written only where it differs."""
        assert gripper.health is not None
        limit = round(gripper.settings.current_limit / CURRENT_UNIT)
        kept = self._block(gripper, *KEPT_BLOCK)
        present = struct.unpack_from('<H', kept, CURRENT_LIMIT - KEPT_BLOCK[0])[0]
        if (kept[0], present) != (CURRENT_BASED_POSITION, limit):
            self._write(gripper, TORQUE_ENABLE, 1, 0)
            gripper.take(self._block(gripper, *READ_BLOCK))
            self._write(gripper, OPERATING_MODE, 1, CURRENT_BASED_POSITION)
            self._write(gripper, CURRENT_LIMIT, 2, limit)
        self._write(gripper, GOAL_CURRENT, 2, limit)

    def _reboot_when_rested(self, gripper: Gripper, now: float) -> None:
        """Reboots a servo whose hardware error has rested long enough and can be cleared."""
        health, settings = gripper.health, gripper.settings
        assert health is not None and gripper.failed_at is not None
        rested = now - gripper.failed_at >= settings.rest
        cool = health.temperature < settings.temperature_limit - COOLED
        if rested and cool and reboot_clears(health.errors):
            self._packets.reboot(self._wire, gripper.id)
            gripper.failed_at = now
