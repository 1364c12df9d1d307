"""Build the book: notebooks, models, execution on all cores, pages, checks. `make book` calls this.

    python book/_ext/make_book.py
    python book/_ext/make_book.py --edition student     without the solutions, in _build/student

Everything goes to `_build/`; the site is `_build/html/index.html`. Executed notebooks are kept in a
cache that belongs to the sources of `synthlib` and `data`, so that a second build takes seconds and
an edited kernel is never shown with an old output.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time

import editions
import project
import site_check
import student_edition

#: Seconds one cell may take: for what hangs. What a chapter may cost is its budget below.
CELL_TIMEOUT = 3600

#: Processor minutes that a chapter and all of them may take, on a core with AVX2 and in float32.
CHAPTER_BUDGET, BOOK_BUDGET = 5.0, 40.0
# What each took on a busy core with AVX2, so that a chapter that has become slower is seen.
EXPECTED = project.ROOT / "book" / "_ext" / "minutes.csv"

ENVIRONMENT = {
    # The models are tiny: one thread each is fastest, and two chapters run side by side.
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # The pocket tier needs no download; a chapter that tries one must fail here, not at a reader's.
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # A page has its own living figures; widgets would be in it twice.
    "SYNTHLIB_FIGURES": "page",
    # The kernel is this environment's, whatever else is installed for the user.
    "JUPYTER_PREFER_ENV_PATH": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
    # Deterministic order of sets, so that a rebuilt page is the same page.
    "PYTHONHASHSEED": "0",
}


def bring_models():
    """The small real models that some chapters run; a line where they cannot be had, else nothing.

    Without them these chapters show what is recorded, so the book is built all the same.
    """
    if not project.field_chapters():
        return ""
    command = [sys.executable, "-m", "synthlib", "models", "get", "laptop", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    why = [line for line in done.stderr.splitlines() if line.strip()][-1:]
    return " ".join(["no models for the part In the field, which shows recordings:", *why])


def execute(cache_folder):
    """Execute every notebook that the cache does not hold, all cores side by side.

    Returns
    -------
    failed : list of str
        The notebooks that raised, with their tracebacks; empty when all went well.
    minutes : dict of str to float
        Processor minutes of each chapter's execution.
    """
    from counting import Executor, seconds
    from jupyter_cache import get_cache

    for old in cache_folder.parent.glob("*"):
        if old != cache_folder:
            shutil.rmtree(old, ignore_errors=True)
    cache_folder.mkdir(parents=True, exist_ok=True)
    cache = get_cache(cache_folder)
    paths = [project.NOTEBOOKS / f"{chapter.stem}.ipynb" for chapter in project.sources()]
    for path in paths:
        cache.add_nb_to_project(str(path))
    wanted = [str(path) for path in paths]
    result = Executor(cache).run_and_cache(filter_uris=wanted, timeout=CELL_TIMEOUT)
    failed, minutes = [], {}
    for uri in result.excepted + result.errored:
        record = next(r for r in cache.list_project_records() if r.uri == uri)
        failed.append(f"{uri}\n{record.traceback or 'did not start'}")
    for path in paths:
        try:
            cache.match_cache_notebook(cache.get_project_notebook(str(path)).nb)
        except KeyError:
            continue
        minutes[path.stem] = seconds(cache_folder, path) / 60
    return failed, minutes


def expected():
    """Processor minutes of each chapter as they were measured; empty where there is no table."""
    if not EXPECTED.is_file():
        return {}
    with EXPECTED.open(encoding="utf-8", newline="") as file:
        return {row["chapter"]: float(row["minutes"]) for row in csv.DictReader(file)}


def over_budget(minutes):
    """One line for each chapter that costs too much, and one where all together do."""
    lines = [
        f"{chapter} took {spent:.1f} processor minutes; a chapter has {CHAPTER_BUDGET:g}"
        for chapter, spent in minutes.items()
        if spent > CHAPTER_BUDGET
    ]
    whole = sum(spent for spent in minutes.values() if spent == spent)  # NaN: not counted
    if whole > BOOK_BUDGET:
        lines.append(f"all chapters took {whole:.1f} processor minutes; they have {BOOK_BUDGET:g}")
    return lines


def build_pages():
    """Run Jupyter Book, any warning an error; returns its exit status."""
    # An incremental build with -W can pass after a failed one, and removed pages would stay.
    for folder in (project.BUILD / ".doctrees", project.BUILD / "jupyter_execute", project.SITE):
        shutil.rmtree(folder, ignore_errors=True)
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["-W", "-n", "--keep-going", "-q"]
    return subprocess.run(
        [*program, "build", str(project.ROOT), *options], cwd=project.ROOT
    ).returncode


def build_student_pages():
    """The site without solutions, and its notebooks, in `_build/student`; the exit status.

    Nothing stands there that was not searched for solutions.
    """
    final, work = project.BUILD / "student", project.BUILD / ".student"
    for folder in (final, work):
        shutil.rmtree(folder, ignore_errors=True)
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["-W", "-n", "--keep-going", "-q", "--path-output", str(work)]
    status = subprocess.run(
        [*program, "build", str(project.ROOT), *options], cwd=project.ROOT,
        env={**os.environ, "BOOK_EDITION": "student"},
    ).returncode  # fmt: skip
    made = work / "_build" / "html"
    problems = []
    if not status:
        student_edition.hand_out(work / "ready" / "notebooks")
        made.rename(work / "ready" / "html")
        problems = student_edition.leaks(work / "ready")
        if not problems:
            (work / "ready").rename(final)
    shutil.rmtree(work, ignore_errors=True)
    print("\n".join(problems), end="\n" if problems else "")
    return status or (1 if problems else 0)


def main(argv=None):
    """Build everything; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--edition", choices=("complete", "student"), default="complete",
                        help="student: without the solutions, in _build/student")  # fmt: skip
    student = parser.parse_args(argv or []).edition == "student"
    site = project.BUILD / "student" / "html" if student else project.SITE
    os.environ.update({key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()})
    start = time.perf_counter()

    def say(text):
        print(f"[{time.perf_counter() - start:5.0f} s] {text}", flush=True)

    changed = editions.write()
    say(f"notebooks: {len(changed)} changed")
    if without := bring_models():
        say(without)
    cache = project.cache_path()
    # The pages are built from what is executed now, whatever somebody edits in the meantime.
    os.environ["BOOK_CACHE"] = str(cache)
    say(f"executing the chapters (cache {cache.relative_to(project.ROOT)})")
    failed, minutes = execute(cache)
    before = expected()
    for chapter, spent in minutes.items():
        said = f"; expected {before[chapter]:.1f}" if chapter in before else ""
        print(f"    {chapter}: {spent:.1f} processor minutes{said}")
    print(f"    all: {sum(minutes.values()):.1f}; expected {sum(before.values()):.1f}")
    if failed:
        print("\n\n".join(failed))
        say(f"FAILED: {len(failed)} chapter(s) raised an error")
        return 1
    say("building the pages")
    status = build_student_pages() if student else build_pages()
    if status or not (site / "index.html").is_file():
        say("FAILED: Jupyter Book reported a warning or an error; see above")
        return status or 1
    problems = site_check.check(site)
    if problems:
        print("\n".join(problems))
        say(f"FAILED: {len(problems)} problem(s) in links and assets")
        return 1
    if project.cache_path() != cache:
        say("note: synthlib or data changed meanwhile; the pages show them as they were before")
    pages = len(list(site.rglob("*.html")))
    say(f"done: {pages} pages, no warning, no broken link: {site / 'index.html'}")
    dear = over_budget(minutes)
    print("\n".join(dear), end="\n" if dear else "")
    # A reader's processor may be slow, and the book is whole; the check of the project fails.
    return 1 if dear and os.environ.get("BOOK_BUDGET") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
