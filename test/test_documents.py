"""What a reader follows is there: links between documents, and the files that commands name."""

import re
from pathlib import Path

import pytest

from g1_data.validate import validate

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('src/*/README.md'))
    if path.is_file()
)


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    targets = re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', document.read_text())
    files = [target for target in targets if not target.startswith(('http://', 'https://'))]
    assert [name for name in files if not (document.parent / name).exists()] == []


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_commands_name_are_there(document):
    commands = '\n'.join(re.findall(r'```bash\n(.*?)```', document.read_text(), re.DOTALL))
    named = re.findall(r'\b((?:config|scripts|docs|src)/[\w./-]+)', commands)
    launched = [f'launch/{name}' for name in re.findall(r'\b(\w+\.launch\.py)', commands)]
    assert [name for name in (*named, *launched) if not (ROOT / name.rstrip('.')).exists()] == []


def test_readme_can_be_read_in_five_minutes():
    """About 150 words a minute, read aloud."""
    assert len((ROOT / 'README.md').read_text().split()) <= 800


def test_the_first_motion_that_ships_is_a_small_valid_dataset():
    root = ROOT / 'docs' / 'first-motion'
    assert validate(root) == []
    assert sum(path.stat().st_size for path in root.rglob('*') if path.is_file()) < 300_000
