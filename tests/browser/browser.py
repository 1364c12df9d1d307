"""A headless Chromium for the tests of the built book, driven by Node's playwright-core.

python tests/browser/browser.py install       fetch playwright-core and axe-core into _build/browser
python tests/browser/browser.py screenshot    take the README's picture from the built book
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = ROOT / "_build" / "html"
MODULES = ROOT / "_build" / "browser"
PICTURE = ROOT / "book" / "site_static" / "screenshot.png"
#: What npm installs, at the versions in package.json.
PACKAGES = ("playwright-core", "axe-core")
#: How a line of pages.cjs begins that tells what is being done; seconds that a task may take.
PROGRESS, LIMIT = "now: ", 3000
#: The page that the README shows, and the place in it.
PICTURE_PAGE, PICTURE_PLACE = "notebooks/04_self_curation.html", "fig-04-region"


def chromium():
    """Path of the browser: `CHROMIUM`, else the first of the usual names, else None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def missing():
    """What keeps the browser tests from running, in one line, or None."""
    if not (SITE / "index.html").is_file():
        return "the book is not built: run `make book` first"
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if chromium() is None:
        return "Chromium is not installed (Debian: apt-get install chromium), or set CHROMIUM"
    absent = [name for name in PACKAGES if not (MODULES / "node_modules" / name).is_dir()]
    if absent:
        return f"{' and '.join(absent)} absent: run `python tests/browser/browser.py install`"
    return None


def install():
    """Fetch the pinned playwright-core and axe-core; they bring no browser of their own."""
    MODULES.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", MODULES / "package.json")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"],
        cwd=MODULES,
        check=True,
    )


def run(task, say=None, **job):
    """Run one task of pages.cjs and return its report; `say` is told each line of its progress."""
    job = {"task": task, "chromium": chromium(), "site": str(SITE), **job}
    environment = os.environ | {"NODE_PATH": str(MODULES / "node_modules")}
    program = subprocess.Popen(
        ["node", str(HERE / "pages.cjs"), json.dumps(job)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    told = []

    def listen():
        for line in program.stderr:
            if say and line.startswith(PROGRESS):
                say(line.removeprefix(PROGRESS).strip())
            else:
                told.append(line)

    # Of two pipes one is read aside: a program that fills the other would wait for ever.
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    clock = threading.Timer(LIMIT, program.kill)
    clock.start()
    out = program.stdout.read()
    program.wait()
    clock.cancel()
    listener.join()
    if program.returncode:
        raise RuntimeError(f"the browser stopped: {''.join(told).strip()[-2000:]}")
    return json.loads(out)


def main(argv):
    """Command line."""
    if argv == ["install"]:
        install()
        return 0
    if argv == ["screenshot"]:
        if not all((MODULES / "node_modules" / name).is_dir() for name in PACKAGES):
            install()
        if reason := missing():
            print(reason, file=sys.stderr)
            return 1
        place = {"pages": [PICTURE_PAGE], "anchor": PICTURE_PLACE, "offset": 64}
        run("screenshot", out=str(PICTURE), width=1280, height=960, **place)
        print(f"wrote {PICTURE.relative_to(ROOT)}")
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
