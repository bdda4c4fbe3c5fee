"""Look at the built site in a browser: ``python docs/check.py FOLDER``.

Every page has to fit a telephone, show its pictures and lead somewhere, and
the search has to find a class. It needs Chromium and its driver, on Debian
``apt-get install chromium chromium-driver``.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit
from urllib.request import Request, urlopen

WIDTH = 400  # of a small telephone, in pixels
SEARCHED = 'JaccardMetricLoss'
LOOK = """
return {
  width: document.documentElement.scrollWidth,
  pictures: [...document.images]
    .filter(x => { x.loading = 'eager'; return x.complete && !x.naturalWidth })
    .map(x => x.src),
  links: [...document.links].map(x => x.href),
  names: [...document.querySelectorAll('[id]')].map(x => x.id),
}
"""
FOUND = "return [...document.querySelectorAll('.search a')].map(x => x.href)"


class Browser:
    """A page of Chromium, by the WebDriver protocol."""

    def __init__(self, port: int) -> None:
        self.base = f'http://localhost:{port}/session'
        options = {
            'args': [
                *('--headless', '--no-sandbox', '--disable-gpu'),
                *('--disable-background-networking', '--no-first-run'),
            ],
            'mobileEmulation': {
                'deviceMetrics': {'width': WIDTH, 'height': 800}
            },
        }
        wanted = {'alwaysMatch': {'goog:chromeOptions': options}}
        self.base += '/' + self('', capabilities=wanted)['sessionId']

    def __call__(self, command: str, **arguments) -> object:
        """Send a command, and return what the browser answers."""
        request = Request(
            self.base + command,
            json.dumps(arguments).encode(),
            {'Content-Type': 'application/json'},
        )
        with urlopen(request) as answer:
            return json.load(answer)['value']

    def look(self, url: str, script: str = LOOK) -> object:
        """Open a page and return what a script finds on it."""
        self('/url', url=url)
        return self('/execute/sync', script=script, args=[])


@contextmanager
def browser():
    """Start the driver, and end it with what it started."""
    with socket.socket() as probe:
        probe.bind(('', 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(
        ['chromedriver', f'--port={port}'], stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(('localhost', port)) == 0:
                    break
            time.sleep(0.1)
        page = Browser(port)
        yield page
        urlopen(Request(page.base, method='DELETE')).close()
    finally:
        driver.terminate()
        driver.wait()


@contextmanager
def served(folder: Path):
    """Serve a folder on this machine, and give its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *words: None
    with ThreadingHTTPServer(('localhost', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://localhost:{server.server_port}/'
        server.shutdown()


def check(folder: Path) -> list[str]:
    """Return a sentence for each thing that is wrong."""
    wrong = []
    with served(folder) as site, browser() as page:
        names = sorted(
            str(x.relative_to(folder)) for x in folder.rglob('*.html')
        )
        seen = {name: page.look(site + name) for name in names}
        for name, found in seen.items():
            if found['width'] > WIDTH:
                wrong.append(f'{name} is {found["width"]} pixels wide.')
            wrong += [f'{name} lacks {x}.' for x in found['pictures']]
            for link in sorted(set(found['links'])):
                path, anchor = urldefrag(link)
                if not path.startswith(site):
                    if urlsplit(path).scheme not in (
                        'http',
                        'https',
                        'mailto',
                    ):
                        wrong.append(f'{name} links to {link}.')
                    continue
                target = unquote(path[len(site) :]) or 'index.html'
                if not (folder / target).is_file():
                    wrong.append(f'{name} links to {target}: no such file.')
                elif anchor and unquote(anchor) not in seen[target]['names']:
                    wrong.append(f'{name} links to {target}, not #{anchor}.')
        page.look(f'{site}search.html?q={SEARCHED}')
        for _ in range(100):
            found = page('/execute/sync', script=FOUND, args=[])
            if any(SEARCHED in x for x in found):
                break
            time.sleep(0.1)
        else:
            wrong.append(f'A search for {SEARCHED} finds {found}.')
    print(f'{len(names)} pages, {len(wrong)} things wrong.')
    return wrong


if __name__ == '__main__':
    if not shutil.which('chromedriver'):
        sys.exit(__doc__)
    sys.exit('\n'.join(check(Path(sys.argv[1]))) or 0)
