"""A real browser for a test: headless Chromium, spoken to by its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from g1_test_support.processes import end_with_parent
from g1_test_support.waiting import DEADLINE, wait_until

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
_OPTIONS = (
    '--headless=new',
    '--no-sandbox',  # CI runs as root
    '--remote-debugging-port=0',
    '--use-angle=swiftshader',  # WebGL without a graphics card
    '--enable-unsafe-swiftshader',
    '--disable-dev-shm-usage',
    '--mute-audio',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
)


def chromium() -> str:
    """Its path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip('no Chromium here; install it with: sudo apt-get install chromium')
    return found


def _behind_the_robot() -> None:
    """As the browser of another computer would, it takes no time from robot and control."""
    end_with_parent()
    os.nice(10)


class Browser:
    """One page of a browser of its own. Used by `with`."""

    def __init__(self, width: int = 1280, height: int = 800) -> None:
        """width, height: as of `resize`."""
        self._size = width, height
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._asked = 0
        self._open = ExitStack()

    def __enter__(self) -> Browser:
        self._process = subprocess.Popen(
            [chromium(), *_OPTIONS, f'--user-data-dir={self._folder.name}', 'about:blank'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_behind_the_robot,
        )
        file = Path(self._folder.name, 'DevToolsActivePort')
        wait_until(lambda: file.exists() and '\n' in file.read_text(), 'Chromium to start')
        port = file.read_text().splitlines()[0]
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/json/list') as answer:
            pages = [target for target in json.load(answer) if target['type'] == 'page']
        socket = connect(pages[0]['webSocketDebuggerUrl'], max_size=None)
        self._open.callback(socket.close)
        self._page: ClientConnection = socket
        self.resize(*self._size)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the DevTools protocol."""
        self._asked += 1
        self._page.send(json.dumps({'id': self._asked, 'method': method, 'params': parameters}))
        deadline = time.monotonic() + DEADLINE
        while True:
            message = json.loads(self._page.recv(timeout=deadline - time.monotonic()))
            if message.get('id') == self._asked:
                assert 'error' not in message, message['error']
                return dict(message['result'])

    def resize(self, width: int, height: int) -> None:
        """Of the window [px]; a narrow one counts as a phone's."""
        self.command(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def open(self, address: str) -> None:
        """Goes to a page; returns before it has loaded."""
        self.command('Page.navigate', url=address)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is awaited."""
        result = self.command(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in result, result['exceptionDetails']
        return result['result'].get('value')

    def holds(self, expression: str) -> bool:
        """Whether JavaScript takes the expression for true; one that cannot be told is not."""
        return bool(self.run(f'(() => {{ try {{ return !!({expression}); }} catch {{ }} }})()'))

    def wait_for(self, expression: str, timeout: float = DEADLINE) -> None:
        """Until the expression holds."""
        wait_until(
            lambda: self.holds(expression),
            lambda: f'{expression} in the page, which says: {self.run("document.body.innerText")}',
            timeout,
            lambda: time.sleep(0.1),
        )

    def press(self, key: str) -> None:
        """A key, as Escape, goes down and up."""
        for kind in ('keyDown', 'keyUp'):
            self.command('Input.dispatchKeyEvent', type=kind, key=key, code=key)

    def click(self, x: float, y: float) -> None:
        """The left button at this place of the window [px]."""
        for kind in ('mousePressed', 'mouseReleased'):
            self.command(
                'Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1
            )

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.command('Page.captureScreenshot')['data'])
