"""A table of kinematics alone that answers as the simulator of LIBERO does, for the expert."""

import numpy as np

from dit4dit_benchmarks.libero.protocol import axis_angle

#: What of an action the arm does in a step, about as LIBERO's controller.
SHARE = 0.3


class ToyLibero:
    """One bowl and a plate. slips: the first grasp loses it on the way."""

    def __init__(self, slips=False):
        self._slips, self.asked = slips, []

    def call(self, name, **arguments):
        self.asked.append((name, arguments))
        return getattr(self, f'_{name}')(**arguments)

    def close(self):
        self.asked.append(('close', {}))

    def _reset(self, suite, task, init_state):
        self._hand = np.array([-0.2, 0.0, 1.17])
        self._tilt = np.array([0.0, np.sqrt(1 - 0.05**2), 0.05, 0.0])  # w x y z, nearly down
        self._bowl = np.array([-0.06, 0.2 - 0.001 * init_state, 0.9])
        self._plate = np.array([0.05, 0.2, 0.9])
        self._gap, self._held, self._grasps = 0.08, None, 0
        return self._seen() | {'instruction': f'do {task} of {suite}'}

    def _goal(self):
        return ('akita_black_bowl_1', 'plate_1')

    def _scene(self):
        return {'akita_black_bowl_1': self._bowl, 'plate_1': self._plate}

    def _step(self, chunk):
        for action in chunk:
            self._move(action)
        near = np.linalg.norm((self._bowl - self._plate)[:2]) < 0.03
        done = self._held is None and bool(near) and self._bowl[2] < self._plate[2] + 0.05
        return self._seen() | {'steps': len(chunk), 'success': done, 'done': done}

    def _move(self, action):
        self._hand = self._hand + SHARE * 0.05 * action[:3]
        turn = SHARE * 0.5 * action[3:6] / 2  # half of it, as quaternions have it
        self._tilt = self._tilt + _product(np.array([0.0, *turn]), self._tilt)
        self._tilt /= np.linalg.norm(self._tilt)
        rim = self._bowl + np.array([0.0, -0.05, 0.03])
        around = np.abs(rim - self._hand).max() < 0.03
        if action[6] > 0.5:
            self._gap, self._held = min(0.08, self._gap + 0.02), None
        else:
            self._gap = max(0.006 if around else 0.0, self._gap - 0.01)
            if around and self._held is None and self._gap <= 0.006:
                self._held, self._grasps = self._bowl - self._hand, self._grasps + 1
        if self._held is not None:
            self._bowl = self._hand + self._held
            if self._slips and self._grasps == 1 and self._hand[2] > 0.98:
                self._held = None
        if self._held is None:
            self._bowl = np.array([*self._bowl[:2], 0.9])

    def _seen(self):
        images = {name: np.full((256, 256, 3), 90, np.uint8) for name in ('agentview', 'wrist')}
        turned = axis_angle(np.roll(self._tilt, -1))
        fingers = [self._gap / 2, -self._gap / 2]
        return {'images': images, 'state': np.array([*self._hand, *turned, *fingers])}


def _product(a, b):
    w = a[0] * b[0] - a[1:] @ b[1:]
    return np.array([w, *(a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:]))])
