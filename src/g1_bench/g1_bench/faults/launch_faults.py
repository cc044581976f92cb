"""What is started wrongly, and what starts the nodes dying; and a disk that is full."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from std_srvs.srv import Trigger

from g1_bench.faults.expectations import expect_mode, expect_motion, see_weight_0
from g1_bench.faults.fault import MARGIN, Fault, Injection, Reaction
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode, SafetyParameters

_GONE = 6.0  # [s] in which all nodes have ended
_REFUSED = 10.0  # [s] on a busy computer; Python and ROS have to start


def launch_faults(safety: SafetyParameters) -> list[Fault]:
    """The rows, timed as the limits in config/safety.yaml say."""

    def launcher(name: str, number: signal.Signals) -> Fault:
        return Fault(
            f'launcher: {name}',
            'launched',
            f'weight 0 in {safety.weight_ramp:g} s; every node ends',
            safety.weight_ramp + 1.0,
            _ended_launcher(number),
        )

    return [
        Fault('recorder: disk full', 'robot', 'refused; the arms go on', 5.0, _disk_full),
        Fault(
            'checkpoint: missing',
            'robot',
            'refused before anything starts; the arms go on',
            _REFUSED,
            _missing_checkpoint,
        ),
        Fault(
            'checkpoint: of another robot',
            'robot',
            'refused before anything starts; the arms go on',
            _REFUSED,
            _foreign_checkpoint,
        ),
        launcher('killed', signal.SIGKILL),
        launcher('asked to end', signal.SIGTERM),
        launcher('its terminal closes', signal.SIGHUP),
    ]


def _disk_full(system: SystemUnderTest, within: float) -> Reaction:
    """Without room for an episode none is begun."""
    client = system.node.create_client(Trigger, 'recorder/start')
    system.processes.start('recorder_node')
    try:
        system.wait_for(client.service_is_ready, 'recorder_node')
        began = time.time()
        future = client.call_async(Trigger.Request())
        system.wait_for(future.done, 'an answer', within)
        seconds = time.time() - began
        answer = future.result()
        expect_motion(system, began, 0.5)
    finally:
        system.processes.signal('recorder_node', signal.SIGTERM)
        system.node.destroy_client(client)
    if answer is None or answer.success or 'left on the disk' not in answer.message:
        raise NotSeenError(f'recorder/start: {answer}')
    return f'refused: {answer.message}', seconds


def _missing_checkpoint(system: SystemUnderTest, within: float) -> Reaction:
    return _refused(system, Path('/nowhere/checkpoint'), 'is no folder')


def _foreign_checkpoint(system: SystemUnderTest, within: float) -> Reaction:
    from dit4dit_policy.inference.shipped import checkpoint_folder

    with TemporaryDirectory() as folder:
        copy = shutil.copytree(checkpoint_folder(), Path(folder, 'checkpoint'))
        file = copy / 'processor.json'
        content = json.loads(file.read_text())
        content['embodiment']['groups'].pop('left_arm')
        file.write_text(json.dumps(content))
        return _refused(system, copy, 'was trained on')


def _refused(system: SystemUnderTest, checkpoint: Path, says: str) -> Reaction:
    began = time.time()
    words = ['launch', 'policy.launch.py', 'robot:=sim', f'checkpoint:={checkpoint}']
    process = subprocess.Popen(
        [shutil.which('g1') or 'g1', *words], stderr=subprocess.PIPE, text=True
    )
    system.wait_for(lambda: process.poll() is not None, 'refusal', PATIENCE)
    seconds = time.time() - began
    assert process.stderr is not None
    error = process.stderr.read().strip()
    if process.returncode != 2 or says not in error:
        raise NotSeenError(f'exit code {process.returncode}: {error}')
    expect_motion(system, began, seconds)
    return error, seconds


def _ended_launcher(number: signal.Signals) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        nodes = system.processes.descendants('launcher')
        sent = system.processes.signal('launcher', number)
        try:
            zero = see_weight_0(system, sent, within)
            deadline = time.time() + _GONE
            while alive := [n for n in nodes if _runs(n)]:
                if time.time() > deadline:
                    raise NotSeenError(f'{len(alive)} of {len(nodes)} processes are still there')
                system.listen(0.05)
            gone = time.time() - sent
        finally:
            system.processes.start('launcher')
        began = time.time()
        system.wait_for(lambda: system.statuses_since(began), 'a new control_node')
        system.wait_for(lambda: 0 <= system.status.lowstate_age < MARGIN, '/lowstate')
        expect_mode(system, Mode.DISARMED)
        return f'weight 0; {len(nodes)} processes ended after {gone:.1f} s', zero

    return inject


def _runs(number: int) -> bool:
    try:
        return Path(f'/proc/{number}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False
