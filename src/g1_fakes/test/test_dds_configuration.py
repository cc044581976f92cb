"""Both DDS libraries take the suite's configuration files, and keep to the interface named."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from g1_ros.config import config_path
from g1_test_support.waiting import DEADLINE

LISTENER = """
import rclpy, sys
from rclpy.qos import qos_profile_sensor_data
from unitree_hg.msg import LowState
rclpy.init()
node = rclpy.create_node('listener')
got = []
node.create_subscription(LowState, 'lowstate', got.append, qos_profile_sensor_data, raw=True)
print('ready', flush=True)
while not got:
    rclpy.spin_once(node, timeout_sec=0.1)
print('heard', flush=True)
"""


def start(interface: str, profile: str, *command: str) -> subprocess.Popen:
    environment = {**os.environ, 'G1_NETWORK_INTERFACE': interface}
    environment['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(config_path(profile))
    environment['CYCLONEDDS_URI'] = f'file://{config_path("cyclonedds.xml")}'
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SUBNET'
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def listening_addresses(pid: int) -> set[str]:
    """Local addresses of a process's UDP sockets, but for multicast."""
    links = [
        str(path.readlink()) for path in Path(f'/proc/{pid}/fd').iterdir() if path.is_symlink()
    ]
    inodes = {match[1] for link in links if (match := re.match(r'socket:\[(\d+)\]', link))}
    rows = [row.split() for row in Path('/proc/net/udp').read_text().splitlines()[1:]]
    addresses = {row[1].split(':')[0] for row in rows if row[9] in inodes}
    readable = {socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address in addresses}
    return {address for address in readable if not address.startswith('239.')}


@pytest.mark.parametrize(
    ('profile', 'bound'), [('fastdds.xml', False), ('fastdds_interface.xml', True)]
)
def test_fast_dds_takes_the_file_and_keeps_to_the_interface(profile, bound):
    process = start('lo', profile, '-c', LISTENER)
    try:
        assert process.stdout.readline() == 'ready\n'
        assert (listening_addresses(process.pid) == {'127.0.0.1'}) is bound
    finally:
        process.send_signal(signal.SIGKILL)
    assert 'XMLPARSER' not in process.communicate()[1]


def test_cyclone_dds_takes_the_file_and_refuses_an_interface_that_is_none(ros_domain):
    process = start('eth99', 'fastdds.xml', '-m', 'g1_fakes.sdk_robot', '--domain', str(ros_domain))
    output, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert 'ready' not in output
    assert 'eth99: does not match an available interface' in output + errors


def test_sdk_and_ros_talk_on_the_interface_named(ros_domain):
    others = [name for _, name in socket.if_nameindex() if name != 'lo' and has_link(name)]
    if not others:
        pytest.skip('no network interface with a link but loopback, which has no multicast')
    interface = others[0]
    robot = start(interface, 'fastdds.xml', '-m', 'g1_fakes.sdk_robot', '--domain', str(ros_domain))
    listener = start(interface, 'fastdds_interface.xml', '-c', LISTENER)
    try:
        assert '"ready"' in robot.stdout.readline()
        assert listener.stdout.readline() == 'ready\n'
        assert listener.stdout.readline() == 'heard\n'
    finally:
        robot.kill()
        listener.kill()


def has_link(interface: str) -> bool:
    folder = Path('/sys/class/net') / interface
    up = (folder / 'operstate').read_text().strip() == 'up'
    return up and bool(int((folder / 'flags').read_text(), 16) & 0x1000)  # IFF_MULTICAST
