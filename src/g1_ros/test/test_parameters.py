"""A parameter is declared once and refused with its name, range and unit when it does not fit."""

from dataclasses import dataclass

import pytest
import rclpy
from rclpy.node import Node

from g1_ros.parameters import declare, load, parameter


@dataclass(frozen=True)
class ArmParameters:
    rate: float = parameter(250.0, unit='Hz', minimum=50.0, maximum=500.0, description='Commands.')
    retries: int = parameter(3, minimum=0, maximum=9, description='Tries before giving up.')
    device: str = parameter('sim', choices=('sim', 'g1'), description='What is driven.')
    gains: list[float] = parameter([1.0, 2.0], minimum=0.0, description='Gains.')


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(*arguments: str) -> Node:
        node = Node('arm', context=context, cli_args=['--ros-args', *arguments])
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_defaults_and_descriptors(make_node):
    node = make_node()
    assert declare(node, ArmParameters) == ArmParameters()
    descriptor = node.describe_parameter('rate')
    assert descriptor.description == 'Commands. [Hz]'
    assert descriptor.floating_point_range[0].to_value == 500.0
    assert node.describe_parameter('device').additional_constraints == 'one of: sim, g1'


def test_values_given_at_start(make_node):
    arguments = ['-p', 'rate:=100', '-p', 'gains:=[3.0]', '-p', 'device:=g1']
    assert declare(make_node(*arguments), ArmParameters) == ArmParameters(100.0, 3, 'g1', [3.0])


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        ('rate:=1000.0', r'rate: expected float from 50.0 to 500.0 \[Hz\], got 1000.0'),
        ('rate:=fast', r"rate: expected float .* got 'fast'"),
        ('rate:=.nan', r'rate: expected float .* got nan'),
        ('retries:=true', r'retries: expected int from 0 to 9, got True'),
        ('device:=h1', r"device: expected str one of: sim, g1, got 'h1'"),
        ('gains:=[-1.0]', r'gains: expected .* got .*-1.0'),
    ],
)
def test_refused_with_name_range_and_value(make_node, argument, message):
    with pytest.raises(ValueError, match=message):
        declare(make_node('-p', argument), ArmParameters)


def test_the_same_file_without_ros(tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**:\n  ros__parameters:\n    rate: 125.0\n    of_another_schema: 1\n')
    assert load(ArmParameters, path, retries=1) == ArmParameters(rate=125.0, retries=1)
    path.write_text('/**:\n  ros__parameters:\n    rate: 5.0\n')
    with pytest.raises(ValueError, match='rate: expected float from'):
        load(ArmParameters, path)


@dataclass(frozen=True)
class PlaceParameters:
    height: float | None = parameter(None, minimum=-1.0, maximum=1.0, description='Of the table.')
    box: list[float] | None = parameter(None, description='Its ends.')
    without: list[str] = parameter([], description='What is switched off.')


def test_what_has_no_sensible_default_stays_unset_until_somebody_sets_it(make_node, tmp_path):
    assert declare(make_node(), PlaceParameters) == PlaceParameters(None, None, [])
    given = declare(
        make_node('-p', 'height:=0.1', '-p', 'box:=[0.0, 1.0]', '-p', 'without:=[a]'),
        PlaceParameters,
    )
    assert given == PlaceParameters(0.1, [0.0, 1.0], ['a'])
    with pytest.raises(ValueError, match=r'height: expected float from -1.0 to 1.0, got 2.0'):
        declare(make_node('-p', 'height:=2.0'), PlaceParameters)
    path = tmp_path / 'place.yaml'
    path.write_text('/**:\n  ros__parameters:\n    without: [a]\n')
    assert load(PlaceParameters, path) == PlaceParameters(None, None, ['a'])
