"""The robot as URDF: whole, with its meshes and without hands."""

import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote, urlparse

from g1_description.urdf import urdf


def test_urdf_has_the_meshes_it_names_and_no_hands():
    robot = ET.fromstring(urdf())
    for mesh in robot.iter('mesh'):
        assert Path(unquote(urlparse(mesh.get('filename')).path)).is_file()
    assert not [link for link in robot.findall('link') if 'rubber_hand' in link.get('name')]
    links = {link.get('name') for link in robot.findall('link')}
    for joint in robot.findall('joint'):
        assert joint.find('parent').get('link') in links
        assert joint.find('child').get('link') in links
