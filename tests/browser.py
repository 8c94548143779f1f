"""A real browser for the pages that the project writes: what they show, say and ask for."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def run_in_page(page: str, script: str, folder: Path, width: int = 0) -> tuple[object, list[str]]:
    """Open the page, run the body of an async function in it, return what it returns.

    The second value is what the console says. `width` is that of a phone: a window cannot be so
    narrow, but a frame can, and is laid out as a window of its width is.
    """
    script = (
        f"(async () => {{ {script} }})().catch((error) => `${{error.stack}}`)"
        ".then((found) => { parent.document.title = JSON.stringify(found); });"
    )
    page = allowed(page, script)
    if width:
        frame = f'<iframe width="{width}" height="844" srcdoc="{html.escape(page)}"></iframe>'
        page = f"<!DOCTYPE html><title></title>{frame}"
    dom, console = browse(page, folder, "--virtual-time-budget=20000")
    title = html.unescape(re.search("<title>(.*?)</title>", dom, re.DOTALL)[1])
    return json.loads(title), console


def browse(page: str, folder: Path, *options: str) -> tuple[str, list[str]]:
    """Return the page as it is after its scripts have run, and what the console says."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = (
        f"{BROWSER} --headless --no-sandbox --disable-gpu --no-first-run --disable-sync"
        " --disable-background-networking --disable-component-update --enable-logging=stderr"
        f" --window-size=1200,900 --user-data-dir={folder / 'profile'} --dump-dom"
    )
    done = subprocess.run(
        [*command.split(), *options, path.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def allowed(page: str, script: str) -> str:
    """Return the page with a script at its end, and its digest in the policy."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.count("script-src '") == 1 and page.count("</body>") == 1
    page = page.replace("script-src '", f"script-src 'sha256-{digest}' '")
    return page.replace("</body>", f"<script>{script}</script></body>")
