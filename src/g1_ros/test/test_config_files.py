import pytest

from g1_description.plugins import plugin_names
from g1_ros.config import config_path, load_tasks


def test_every_simulated_task_has_an_instruction():
    tasks = load_tasks()
    assert set(tasks) == set(plugin_names('g1_sim.tasks'))
    assert all(sentence.endswith('.') for sentence in tasks.values())


def test_a_missing_file_is_named_with_what_there_is():
    with pytest.raises(FileNotFoundError, match=r'no config file nothing.yaml .*tasks.yaml'):
        config_path('nothing.yaml')
