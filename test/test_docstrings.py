"""Every public definition of the packages says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / 'src'
MODULES = sorted(
    path
    for package in SRC.glob('*/*/__init__.py')
    if package.parent.name == package.parents[1].name
    for path in package.parent.rglob('*.py')
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(module: Path) -> Iterator[tuple[Definition, ast.ClassDef | None]]:
    """Public ones, with the class that they are a part of."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, Definition) and not node.name.startswith('_'):
            yield node, None
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, Definition) and not part.name.startswith('_'):
                        yield part, node


def documented() -> set[tuple[str, str]]:
    """Class and method, of every method that has a docstring."""
    return {
        (owner.name, part.name)
        for module in MODULES
        for part, owner in definitions(module)
        if owner is not None and ast.get_docstring(part)
    }


METHODS = documented()


def says_what_it_is(part: Definition, owner: ast.ClassDef | None) -> bool:
    """Or is a setter, or is a method that its class's base has documented."""
    if ast.get_docstring(part):
        return True
    setter = any(isinstance(d, ast.Attribute) and d.attr == 'setter' for d in part.decorator_list)
    bases = [ast.unparse(base) for base in owner.bases] if owner is not None else []
    bases += ['SimTask'] if any(base.endswith('.Task') for base in bases) else []
    return setter or any((base, part.name) in METHODS for base in bases)


@pytest.mark.parametrize('package', sorted({path.relative_to(SRC).parts[0] for path in MODULES}))
def test_public_definitions_have_docstrings(package):
    """A task's class is `Task` in the module that tells of it."""
    modules = [path for path in MODULES if path.relative_to(SRC).parts[0] == package]
    silent = [
        f'{path.relative_to(SRC)}: {owner.name + "." if owner else ""}{part.name}'
        for path in modules
        for part, owner in definitions(path)
        if part.name != 'Task' and not says_what_it_is(part, owner)
    ]
    silent += [
        f'{path.relative_to(SRC)}'
        for path in modules
        if path.name != '__init__.py' and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
