"""Checks of the policy, and of who else sends what it sends."""

from __future__ import annotations

from dit4dit_msgs.msg import PolicyStatus

from g1_console.preflight.finding import Check, Finding, Level, grade
from g1_console.snapshot import Snapshot
from g1_description import load_robot
from g1_ros.config import load_tasks


def checkpoint(s: Snapshot) -> Finding | None:
    """The policy is trained, for this robot, on tasks that are known."""
    if s.machine == 'robot':
        return None
    it, wanted = s.checkpoint, load_robot().action_joints
    if it.problem:
        remedy = 'expected a folder written by dit4dit train: config.json, model.safetensors, '
        return Finding('checkpoint', Level.FAIL, f'{it.folder}: {it.problem}', remedy + 'processor')
    if it.joints != wanted:
        differing = sorted(set(it.joints) ^ set(wanted)) or 'the same joints, in another order'
        found = f'made for {len(it.joints)} joints, the robot has {len(wanted)}: {differing}'
        remedy = f'train on data recorded with the joints of g1_aloha.yaml, or take {wanted}'
        return Finding('checkpoint', Level.FAIL, found, remedy)
    unknown = [task for task in it.tasks if task not in load_tasks()]
    found = f'{it.folder.rpartition("/")[2]}: {len(it.joints)} joints fit'
    found += f', trained on {", ".join(it.tasks) or "no task"}' if it.trained else ', UNTRAINED'
    return grade(
        'checkpoint',
        found,
        'name those tasks in config/tasks.yaml'
        if it.trained
        else 'its motion has no purpose: give a trained one with checkpoint:=FOLDER',
        warn=not it.trained or bool(unknown),
    )


def policy(s: Snapshot) -> Finding | None:
    """The policy is there and has what it needs."""
    if s.machine == 'robot' and s.policy is None:
        return None
    if s.policy is None:
        remedy = (
            'start it: g1 launch policy.launch.py (machine:=workstation on a computer of its own)'
        )
        return Finding('policy_node', Level.WARN, 'not heard; only needed to run tasks', remedy)
    untrained_task = (
        bool(s.policy.task)
        and bool(s.checkpoint.tasks)
        and s.policy.model_id == s.checkpoint.folder.rpartition('/')[2]
        and s.policy.task not in s.checkpoint.tasks
    )
    found = f'{s.policy.model_id}: {s.policy.text}'
    if untrained_task:
        found += f'; it was not trained on {s.policy.task}'
    return grade(
        'policy_node',
        found,
        s.policy.text
        if s.policy.state in (PolicyStatus.WAITING, PolicyStatus.ERROR)
        else f'run a task it knows: {", ".join(s.checkpoint.tasks)}'
        if untrained_task
        else 'give it a trained checkpoint',
        fail=s.policy.state == PolicyStatus.ERROR,
        warn=s.policy.state == PolicyStatus.WAITING or not s.policy.trained or untrained_task,
    )


def single_source(name: str) -> Check:
    """A check that a topic comes from one node only."""

    def check(s: Snapshot) -> Finding | None:
        sources = s.topic(name).publishers
        if len(sources) < 2:
            return None
        return Finding(
            f'who sends {name.rpartition("/")[2]}',
            Level.FAIL,
            ', '.join(sources),
            'several contradict each other: is another system running in this ROS_DOMAIN_ID? End '
            'all but one; a second policy can watch with shadow:=true',
        )

    return check
