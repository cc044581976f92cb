"""RoboCasa-GR1's own simulation, with boxes in place of meshes and textures that no package has.

python -m placeholder_robocasa FD    in place of dit4dit_benchmarks.robocasa_gr1.simulation
"""

import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import robocasa_gr1.utils.gym_utils  # noqa: F401 - before its objects, or they are not found
from robocasa_gr1.models.objects import kitchen_object_utils as objects
from robosuite.utils.binding_utils import MjSim

from dit4dit_benchmarks.process import answer
from dit4dit_benchmarks.robocasa_gr1.simulation import RobocasaSimulation, make

MESH = """v -0.02 -0.02 -0.02
v 0.02 -0.02 -0.02
v 0 0.02 -0.02
v 0 0 0.02
f 1 3 2
f 1 2 4
f 2 3 4
f 3 1 4
"""
BOX = """<mujoco model="box"><asset/><worldbody><body>
<body name="object">
<geom type="box" size="0.03 0.03 0.03" group="0"/>
<geom type="box" size="0.03 0.03 0.03" group="1" contype="0" conaffinity="0" rgba="1 0 0 1"/>
</body>
<site name="bottom_site" pos="0 0 -0.03" size="0.001" rgba="0 0 0 0"/>
<site name="top_site" pos="0 0 0.03" size="0.001" rgba="0 0 0 0"/>
<site name="horizontal_radius_site" pos="0.03 0.03 0" size="0.001" rgba="0 0 0 0"/>
</body></worldbody></mujoco>
"""


def put_boxes(folder):
    """Every object of every kind is a box from now on."""
    for registry in objects.OBJ_REGISTRIES:
        (folder / registry).mkdir()
    (folder / 'model.xml').write_text(BOX)
    objects.BASE_ASSET_ZOO_PATH = str(folder)
    for registries in objects.OBJ_CATEGORIES.values():
        for category in registries.values():
            category.mjcf_paths = [str(folder / 'model.xml')] * 4


def put_meshes_and_textures(folder):
    """Whatever file a scene lacks is a small mesh or a grey texture from now on."""
    (folder / 'mesh.obj').write_text(MESH)
    cv2.imwrite(str(folder / 'texture.png'), np.full((8, 8, 3), 128, np.uint8))
    load = MjSim.from_xml_string

    def load_anyway(xml):
        root = ElementTree.fromstring(xml)
        for element in root.iterfind('.//*[@file]'):
            if not Path(element.get('file')).is_file():
                name = 'mesh.obj' if element.tag == 'mesh' else 'texture.png'
                element.set('file', str(folder / name))
        return load(ElementTree.tostring(root, encoding='unicode'))

    MjSim.from_xml_string = load_anyway


class Simulation(RobocasaSimulation):
    """Says what the simulator itself says of its observations and actions."""

    def spaces(self):
        """Shapes by name, and whether a fresh observation is one of the space."""
        env = self._env
        shapes = {
            name: {key: list(space.shape or ()) for key, space in spaces.items()}
            for name, spaces in (('seen', env.observation_space), ('done', env.action_space))
        }
        return shapes | {'contained': bool(env.observation_space.contains(env.reset()[0]))}


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        put_boxes(Path(folder))
        put_meshes_and_textures(Path(folder))
        answer(Simulation(make), int(sys.argv[1]))
