"""policy_node tells where a task goes unlike those that succeeded, and stops where it is to."""

import subprocess

import pytest
from dit4dit_msgs.msg import PolicyStatus, SafetyStatus
from policy_client import start

from g1_test_support.waiting import DEADLINE, wait_until

ODD = 'the arms are where no demonstration had them'


@pytest.fixture
def node(outside, request):
    """A node whose policy knows that joints are near 0 in a success; its arms follow it."""
    outside.position, outside.camera_on = 0.0, True
    outside.control_mode = SafetyStatus.ACTIVE
    outside.control_source = SafetyStatus.CONTROL_POLICY
    patient = ('max_image_age:=10.0', 'max_joint_state_gap:=1.0')  # the computer may be busy
    process: subprocess.Popen = start(
        'policy:=toy_policies:Homebody', f'on_surprise:={request.param}', *patient
    )
    assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
    wait_until(lambda: outside.status().text == 'waiting for a task', 'the node to be active')
    yield process
    process.kill()
    process.wait()


def goes_as_usual(outside):
    status = outside.status()
    return status.state == PolicyStatus.RUNNING and 0.0 <= status.surprise <= status.surprise_limit


def is_odd(outside):
    return outside.status().surprise > outside.status().surprise_limit > 0.0


@pytest.mark.parametrize('node', ['tell'], indirect=True)
def test_it_tells_while_the_arms_follow_it_and_goes_on(outside, node):
    outside.goal('stay at home')
    wait_until(lambda: goes_as_usual(outside), 'a number below the limit')
    assert outside.status().surprise_limit == pytest.approx(0.5)
    outside.position = 1.0
    wait_until(lambda: is_odd(outside) and ODD in outside.status().text, 'the surprise')
    count = len(outside.chunks)
    wait_until(lambda: len(outside.chunks) > count + 3, 'chunks nevertheless')
    assert outside.status().state == PolicyStatus.RUNNING
    outside.control_source = SafetyStatus.CONTROL_OPERATOR
    wait_until(lambda: outside.status().surprise < 0.0, 'no number of what the operator does')
    outside.control_source = SafetyStatus.CONTROL_POLICY
    outside.goal('something else')
    wait_until(lambda: outside.status().surprise > 0.9, 'the number of any task')
    assert outside.status().surprise_limit < 0.0 and ODD not in outside.status().text


@pytest.mark.parametrize('node', ['hold'], indirect=True)
def test_it_sends_no_more_chunks_until_it_is_asked_again_or_helped(outside, node):
    def held():
        status = outside.status()
        return status.state == PolicyStatus.WAITING and ODD in status.text

    def sends_again(what):
        count = len(outside.chunks)
        wait_until(lambda: len(outside.chunks) > count, what)

    outside.goal('stay at home')
    wait_until(lambda: goes_as_usual(outside), 'a number below the limit')
    outside.position = 1.0
    wait_until(held, 'the surprise')
    count = len(outside.chunks)
    outside.statuses.clear()
    wait_until(lambda: len(outside.statuses) > 5, 'a second to pass')
    assert len(outside.chunks) <= count + 1  # one may have been on its way
    assert 'run the task again, or take the arms' in outside.status().text
    outside.control_source = SafetyStatus.CONTROL_OPERATOR
    sends_again('chunks to go on with when the arms are given back')
    outside.position, outside.control_source = 0.0, SafetyStatus.CONTROL_POLICY
    wait_until(lambda: goes_as_usual(outside), 'a number below the limit again')
    outside.position = 1.0
    wait_until(held, 'the next surprise')
    outside.goal('stay at home')
    sends_again('chunks of a task that is run again')
