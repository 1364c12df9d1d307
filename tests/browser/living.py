"""Pages of living figures in a headless Chromium: what `tests/test_living.py` and others drive.

A page is what `Figure.save` writes, so that no built book is needed.
"""

import json
import os
import shutil
import subprocess

import browser


def modules():
    """Folder in which Node finds playwright-core: NODE_PATH, or what `browser.py install` made."""
    places = os.environ.get("NODE_PATH", "").split(os.pathsep)
    for place in filter(None, [*places, str(browser.MODULES / "node_modules")]):
        if os.path.isdir(os.path.join(place, "playwright-core")):
            return place
    return None


def missing():
    """What keeps these tests from running, in one line, or None."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if browser.chromium() is None:
        return "Chromium is not installed (Debian: apt-get install chromium), or set CHROMIUM"
    if modules() is None:
        return "playwright-core is absent: run `python tests/browser/browser.py install`"
    return None


def run(*jobs, timeout=1500):
    """Open pages and do with them what the jobs say.

    Parameters
    ----------
    jobs : dict
        ``file`` (path of a page), ``code`` (JavaScript: ``async (page, tools) => …`` with
        playwright's page and the tools of living.cjs: settle, picture, says, redraw, slide), and as
        wished ``width``, ``scheme``, ``touch``, ``reduced``, ``javascript``, ``shot`` (a file).

    Returns
    -------
    list of dict
        ``result`` of the code, ``remote`` requests, ``errors`` of the console, ``dialogs``.
    """
    jobs = [{**job, "file": str(job["file"])} for job in jobs]
    work = {"chromium": browser.chromium(), "jobs": jobs}
    done = subprocess.run(
        ["node", str(browser.HERE / "living.cjs")],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        env=os.environ | {"NODE_PATH": modules() or ""},
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(f"the browser stopped: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)
