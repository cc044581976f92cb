"""Another program on rt/arm_sdk, as a forgotten teleoperation: what control_node must notice.

    python -m g1_fakes.sdk_intruder --domain 42 --rate 50

publishes commands of weight 0 through Unitree's SDK until it is ended; --rate 0 only opens the
topic, as a program does that waits for its operator. CYCLONEDDS_URI as for `g1_fakes.sdk_robot`.
"""

from __future__ import annotations

import argparse
import os
import time

from unitree_sdk2py.core import channel
from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowCmd_ as default_low_cmd
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_
from unitree_sdk2py.utils.crc import CRC

from g1_fakes.sdk_robot import LOOPBACK, answer


def main() -> None:
    """Publishes until Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m g1_fakes.sdk_intruder', description=__doc__)
    parser.add_argument('--domain', type=int, required=True, help='DDS domain (ROS_DOMAIN_ID)')
    parser.add_argument('--rate', type=float, default=50.0, help='commands a second; 0 for none')
    options = parser.parse_args()
    channel.ChannelConfigAutoDetermine = os.environ.get('CYCLONEDDS_URI', LOOPBACK)
    channel.ChannelFactoryInitialize(options.domain)
    publisher = channel.ChannelPublisher('rt/arm_sdk', LowCmd_)
    publisher.Init()
    command = default_low_cmd()
    command.mode_machine = 5
    command.crc = CRC().Crc(command)
    answer(event='ready', time=time.monotonic())
    while True:
        if options.rate:
            publisher.Write(command)
        time.sleep(1 / (options.rate or 1.0))


if __name__ == '__main__':
    main()
