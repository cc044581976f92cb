"""Which checkpoint is meant where none is named."""

from __future__ import annotations

from pathlib import Path

from dit4dit_policy.inference.policy import Policy

#: The folder of the checkpoint that ships with this package.
SHIPPED = Path(__file__).parents[1] / 'checkpoints' / 'nano'


def load_policy(checkpoint: Path | None, joint_names: tuple[str, ...] | None = None) -> Policy:
    """The policy in the folder `checkpoint`, else the one shipped with the suite.

    Where none is shipped, an untrained one. `joint_names` and errors as of `Policy.load`.
    """
    folder = checkpoint or SHIPPED
    if checkpoint is None and not folder.is_dir():
        return Policy.untrained('nano')
    return Policy.load(folder, joint_names)
