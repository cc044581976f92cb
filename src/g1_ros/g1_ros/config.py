"""Where the configuration files are, and the table of tasks."""

from functools import cache
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory


def config_path(name: str) -> Path:
    """Path of a file of the suite's `config/` folder, as g1_ros installed it."""
    try:
        folder = Path(get_package_share_directory('g1_ros')) / 'config'
    except PackageNotFoundError:
        raise FileNotFoundError(
            f'config/{name} is looked for in the installed package g1_ros, which is not in '
            'AMENT_PREFIX_PATH; run `source setup.bash` first'
        ) from None
    path = folder / name
    if not path.is_file():
        have = ', '.join(sorted(p.name for p in folder.iterdir()))
        raise FileNotFoundError(f'no config file {name} in {folder}; there are: {have}')
    return path


@cache
def load_tasks() -> dict[str, str]:
    """Task name to the instruction given to the policy, from `config/tasks.yaml`."""
    return yaml.safe_load(config_path('tasks.yaml').read_text())
