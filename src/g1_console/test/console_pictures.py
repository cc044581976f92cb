"""What tests of pages do in a browser: press a button of viser's, keep a picture."""

import os
from pathlib import Path

from g1_test_support.browser import Browser

#: `g1` as a program of this Python.
CLI = 'import sys; from g1_console.cli import main; sys.exit(main(sys.argv[1:]))'
#: The document of viser's page within ours.
VIEWER = "document.getElementById('view').contentDocument"


def press(browser: Browser, label: str) -> None:
    """A button of the panels, by what is on it."""
    button = f"[...{VIEWER}.querySelectorAll('button')].find(b => b.innerText == '{label}')"
    browser.wait_for(button)
    browser.run(f'{button}.click()')


def keep(browser: Browser, name: str) -> None:
    """The window as a picture of the documentation, where G1_CONSOLE_PICTURES names a folder."""
    if folder := os.environ.get('G1_CONSOLE_PICTURES'):
        notes = f"{VIEWER}?.querySelectorAll('[class*=Notification] button')"
        browser.run(f'[...({notes} ?? [])].forEach(b => b.click())')
        Path(folder, name).write_bytes(browser.picture())
