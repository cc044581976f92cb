import pytest

from g1_ros.config import config_path, load_tasks


def test_seven_tasks_with_an_instruction_each():
    tasks = load_tasks()
    assert len(tasks) == 7
    assert all(sentence.endswith('.') for sentence in tasks.values())


def test_a_missing_file_is_named_with_what_there_is():
    with pytest.raises(FileNotFoundError, match=r'no config file nothing.yaml .*tasks.yaml'):
        config_path('nothing.yaml')
