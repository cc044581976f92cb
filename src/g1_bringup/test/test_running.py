"""A second system in a ROS domain is refused before it starts anything."""

import pytest

from g1_bringup import launcher
from g1_bringup.arguments import check
from g1_bringup.running import second_system
from g1_bringup.systems import find
from g1_ros.middleware import is_used_here
from g1_test_support.outside import Outside

SYSTEM = find('robot.launch.py')


@pytest.fixture
def values():
    return check(SYSTEM, {})


def test_a_system_beside_another_says_which_and_what_to_do(values, ros_domain, monkeypatch):
    with Outside('control_node'):
        assert is_used_here(ros_domain)
        monkeypatch.setattr(launcher, 'run', lambda *_: pytest.fail('started beside another'))
        with pytest.raises(ValueError) as refused:
            launcher.start(SYSTEM, values)
    said = str(refused.value)
    assert f'(ROS_DOMAIN_ID {ros_domain}) already, with control_node; end it first' in said
    assert 'or start this one elsewhere: export ROS_DOMAIN_ID=' in said


def test_a_person_who_looks_on_is_no_second_system(values):
    with Outside('g1_status'):
        assert second_system(SYSTEM, values) == ''


def test_where_nobody_is_nobody_is_asked(values, monkeypatch, ros_domain):
    assert not is_used_here(ros_domain)
    monkeypatch.setattr('sys.executable', '/nowhere')
    assert second_system(SYSTEM, values) == ''
