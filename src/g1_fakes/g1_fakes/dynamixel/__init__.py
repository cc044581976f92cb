"""Emulated Dynamixel XM430-W350 servos: protocol, motor, bus and serial port."""

from g1_fakes.dynamixel.bus import Bus
from g1_fakes.dynamixel.port import Port
from g1_fakes.dynamixel.servo import MODEL, Servo

__all__ = ['MODEL', 'Bus', 'Port', 'Servo']
