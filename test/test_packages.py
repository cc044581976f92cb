"""Every package says what it is and what it needs, and no more."""

import re
import xml.etree.ElementTree as ElementTree

import package_xml
import pytest

VERSION = '0.2.0'


@pytest.mark.parametrize('package', package_xml.PYTHON_PACKAGES)
def test_package_xml_names_what_is_imported_and_nothing_else(package):
    assert package_xml.faults(package) == [], 'run: python scripts/package_xml.py --write'
    assert sorted(package_xml.unknown(package)) == [], 'add it to the tables of that script'


@pytest.mark.parametrize('package', package_xml.PACKAGES)
def test_every_package_is_complete(package):
    folder = package_xml.SRC / package
    root = ElementTree.parse(folder / 'package.xml').getroot()
    assert root.get('format') == '3'
    assert root.findtext('license') == 'Apache-2.0'
    assert root.findtext('version') == VERSION
    maintainer = root.find('maintainer')
    assert maintainer is not None
    assert re.fullmatch(r'[\w.-]+@[\w-]+(\.[\w-]+)*\.[a-z]{2,}', maintainer.get('email', ''))
    assert VERSION in (folder / 'CHANGELOG.rst').read_text()
    assert len((folder / 'README.md').read_text().split()) > 10
    if package in package_xml.PYTHON_PACKAGES:
        assert list((folder / 'test').glob('test_*.py'))
    setup = folder / 'setup.py'
    if setup.exists():
        assert f"version='{VERSION}'" in setup.read_text()
        assert "extras_require={'test': ['pytest']}" in setup.read_text(), 'colcon test skips it'
