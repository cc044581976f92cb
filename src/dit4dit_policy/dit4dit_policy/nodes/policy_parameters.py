"""Parameters of policy_node, and the policy they mean."""

from __future__ import annotations

from dataclasses import dataclass

from dit4dit_policy.inference.chunk_policy import ChunkPolicy
from dit4dit_policy.inference.shipped import checkpoint_for
from g1_description import Embodiment, load_embodiment
from g1_description.plugins import find_plugin
from g1_ros.parameters import parameter


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of policy_node."""

    task: str = parameter(
        '',
        description='Task of config/tasks.yaml, or an instruction in words, to infer for once '
        'active; empty: wait for RunTask. Where a simulated scene has a sentence of its own, that '
        "takes the place of the task's.",
    )
    run: bool = parameter(
        True, description='Infer for `task` once active; false: wait for RunTask.'
    )
    policy: str = parameter(
        'dit4dit',
        description='What makes the chunks: dit4dit, remote (a policy server), another name in the '
        'entry-point group dit4dit.policies, or module:attribute.',
    )
    checkpoint: str = parameter(
        '',
        description='Folder of the checkpoint, or name of a shipped one; empty: small.',
    )
    server: str = parameter(
        '', description='Address of the server of a remote policy, as ws://HOST:PORT.'
    )
    embodiment: str = parameter(
        'g1_aloha', description="The robot: a shipped embodiment's name, or a YAML file."
    )
    cameras: list[str] = parameter(
        [],
        description='Cameras in use, of the embodiment; empty: those that the policy looks at.',
    )
    threads: int = parameter(
        1,
        minimum=1,
        maximum=256,
        description='CPU threads for inference; more help only where that many cores are idle.',
    )
    max_rate: float = parameter(
        5.0,
        unit='Hz',
        minimum=0.1,
        maximum=100.0,
        description='Chunks per second at most; fewer where the policy wants more targets of a '
        'chunk followed, as dit4dit info says.',
    )
    max_image_age: float = parameter(
        0.2,
        unit='s',
        minimum=0.01,
        maximum=10.0,
        description='No inference from an image older than this, nor from images of several '
        'cameras further apart.',
    )
    max_joint_state_gap: float = parameter(
        0.05,
        unit='s',
        minimum=0.001,
        maximum=1.0,
        description='Largest distance in time of an image and the nearest joint state.',
    )
    real_time_chunking: bool = parameter(
        False,
        description='Each chunk continues the one that is being executed; costs inference time.',
    )
    on_surprise: str = parameter(
        'tell',
        choices=('tell', 'hold'),
        description='Where a task goes unlike those that succeeded, by the surprise.json of the '
        'checkpoint: tell, in status and log; hold: also send no more chunks, so that control '
        'holds, until the task is run again or an operator has taken the arms.',
    )
    autostart: bool = parameter(
        True, description='Configure and activate without being asked by a lifecycle manager.'
    )

    @property
    def source(self) -> str:
        """Where the policy is: a server's address or a checkpoint."""
        return checkpoint_for(self.server or self.checkpoint, self.policy)


def robot_of(parameters: PolicyParameters) -> Embodiment:
    """The robot, with the cameras in use alone.

    ValueError names the embodiments, or the cameras, that there are.
    """
    return load_embodiment(parameters.embodiment).with_cameras(parameters.cameras)


def load_policy(parameters: PolicyParameters, embodiment: Embodiment) -> ChunkPolicy:
    """The policy of the parameters; ValueError says what was expected when there is none."""
    name, source = parameters.policy, parameters.source
    if parameters.server and parameters.checkpoint:
        raise ValueError(
            f"expected one of the parameters server and checkpoint, got '{parameters.server}' "
            f"and '{parameters.checkpoint}'"
        )
    try:
        policy: ChunkPolicy = find_plugin('dit4dit.policies', name)(source, embodiment)
    except Exception as error:
        what = 'server' if parameters.server else 'checkpoint'
        raise ValueError(
            f"parameters policy '{name}' and {what} '{source}': {error or type(error).__name__}"
        ) from error
    if missing := [camera for camera in policy.cameras if camera not in embodiment.cameras]:
        raise ValueError(
            f'parameter cameras: {policy.model_id} looks at {", ".join(policy.cameras)}, got '
            f'{", ".join(embodiment.cameras)}; add {", ".join(missing)}'
        )
    return policy
