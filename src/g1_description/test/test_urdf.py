"""The robot as URDF: whole, with its meshes and without hands."""

import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote, urlparse

from ament_index_python.packages import get_package_share_directory

from g1_description.urdf import robot_description, urdf


def test_urdf_has_the_meshes_it_names_and_no_hands():
    robot = ET.fromstring(urdf())
    for mesh in robot.iter('mesh'):
        assert Path(unquote(urlparse(mesh.get('filename')).path)).is_file()
    assert not [link for link in robot.findall('link') if 'rubber_hand' in link.get('name')]
    links = {link.get('name') for link in robot.findall('link')}
    for joint in robot.findall('joint'):
        assert joint.find('parent').get('link') in links
        assert joint.find('child').get('link') in links


def test_what_is_published_names_installed_meshes_and_a_root_without_inertia():
    robot = ET.fromstring(robot_description())
    share = Path(get_package_share_directory('g1_description'))
    meshes = [mesh.get('filename') for mesh in robot.iter('mesh')]
    assert meshes
    for name in meshes:
        assert name.startswith('package://g1_description/')
        assert (share / name.removeprefix('package://g1_description/')).is_file()
    root = next(link for link in robot.findall('link') if link.get('name') == 'pelvis')
    assert root.find('inertial') is None
    assert len(robot.findall('link')) == len(ET.fromstring(urdf()).findall('link'))
