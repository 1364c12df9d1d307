"""The book's figures with their data, as files: ``python -m synthlib figures --out DIR``.

A figure is what the chapter's cell leaves when it runs, so the chapters are run; where the book was
built from the sources as they are now, its execution cache is read instead, which takes seconds.
Each figure then writes itself by `Figure.save`.
"""

import difflib
import hashlib
import importlib.util
import json
import os
import re
import time
from pathlib import Path

import pandas as pd

from synthlib import commands, paths
from synthlib.viz import words as other_words
from synthlib.viz.figure import MIMETYPE, Figure
from synthlib.viz.widget import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
#: What a chapter needs around it when it is executed here, as in the book's build.
ENVIRONMENT = {
    VARIABLE: "page",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYTHONHASHSEED": "0",
}
SECONDS = 3600  # that one cell may take: for what hangs, not for what is slow
_LABEL = re.compile(r"""label\s*=\s*["'](fig-[a-z0-9-]+)["']""")


def _read(path):
    import nbformat

    return nbformat.read(path, as_version=4)


def _code(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def chapters(folder=None):
    """Labels of the figures of each chapter's notebook.

    Parameters
    ----------
    folder : path, optional
        With ``NN_name.ipynb`` files; by default the repository's ``notebooks``.

    Returns
    -------
    dict of Path to list of str

    Raises
    ------
    FileNotFoundError
        No notebook there.
    """
    folder = Path(folder) if folder else ROOT / "notebooks"
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(
            f"no chapters in {folder}: run this in a checkout of the book's repository, or name "
            "the folder with --notebooks"
        )
    return {path: list(dict.fromkeys(_LABEL.findall(_code(_read(path))))) for path in paths}


def _project():
    """The build's own module about the project, where there is one."""
    path = ROOT / "book" / "_ext" / "project.py"
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("_synthlib_book_project", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_build(notebook, folder):
    """The executed notebook out of the book's execution cache, or None."""
    if folder is None or not folder.is_dir():
        return None
    try:
        from jupyter_cache import get_cache
    except ImportError:
        return None
    cache = get_cache(folder)
    try:
        record = cache.match_cache_notebook(notebook)
    except KeyError:
        return None
    return cache.get_cache_bundle(record.pk).nb


def _execute(path, notebook):
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        raise ValueError(
            "running a chapter needs nbclient and ipykernel: pip install nbclient ipykernel"
        ) from None
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=SECONDS, startup_timeout=SECONDS, kernel_name="python3",
        resources=resources,
    )  # fmt: skip
    try:
        return client.execute(env=os.environ | ENVIRONMENT)
    except CellExecutionError as error:
        last = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()[-1]  # no colours
        raise ValueError(f"chapter {path.stem} stopped with an error: {last}") from None


def frame_of(raw):
    """A DataFrame from what `spec.columns` makes of one."""
    table = pd.DataFrame(dict(zip(raw["columns"], raw["data"], strict=True)))
    for name in raw["columns"]:
        if raw["types"].get(name) == "float":
            table[name] = table[name].astype(float)
        if name in raw.get("levels", {}):
            table[name] = pd.Categorical(table[name], raw["levels"][name])
    return table


def figures(notebook):
    """The figures that an executed notebook holds, in their order."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get(MIMETYPE)
            if page and page.get("label"):
                data = {name: frame_of(raw) for name, raw in page["tables"].items()}
                keys = {key: page[key] for key in ("label", "caption")}
                found.append(Figure(data, page["spec"], page["alt"], **keys))
    return found


def regenerate(out, only=(), folder=None, say=print, words=None, **how):
    """Write the book's figures with their data.

    Parameters
    ----------
    out : path
        Folder of the files; made where it is absent.
    only : list of str
        Labels (``fig-03-omega``) or chapters (``03``); all when empty.
    folder : path, optional
        Of the notebooks.
    say : callable
        Gets one line of progress at a time.
    words : `synthlib.viz.words.Words`, optional
        Of another language.
    **how
        Of `Figure.save`: formats, width, mode, dpi, text.

    Returns
    -------
    list of Path
        All files of the figures asked for. Chapters that were done before and have not changed
        are not run again.
    """
    out, project = Path(out), _project()
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; the name of a folder is wanted")
    known = chapters(folder)
    names = {label for labels in known.values() for label in labels}
    stems = {key for path in known for key in (path.stem, path.stem[:2])}
    for name in only:
        if name not in names | stems:
            close = difflib.get_close_matches(name, sorted(names | stems), 3)
            hint = f" (did you mean {', '.join(close)}?)" if close else ""
            raise ValueError(f"no figure or chapter {name!r}{hint}; --list shows them")
    work = {
        path: [n for n in labels if not only or {n, path.stem, path.stem[:2]} & set(only)]
        for path, labels in known.items()
    }
    work = {path: labels for path, labels in work.items() if labels}
    state = project.kernel_hash() if project else ""
    cache = project.cache_path() if project else None
    files = []
    for number, (path, labels) in enumerate(work.items(), 1):
        start, notebook = time.perf_counter(), _read(path)
        asked = json.dumps(how, sort_keys=True) if how else ""
        if words:
            asked += json.dumps([words.language, words.page, words.figures], sort_keys=True)
        digest = hashlib.sha256((state + _code(notebook) + asked).encode()).hexdigest()
        done = out / ".done" / f"{path.stem}.json"
        before = json.loads(done.read_text()) if done.is_file() else {}
        before = before.get("figures", {}) if before.get("digest") == digest else {}
        ready = {
            label: before[label]
            for label in labels
            if label in before and all((out / name).is_file() for name in before[label])
        }
        head = f"[{number}/{len(work)}] {path.stem}"
        if len(ready) == len(labels):
            say(f"{head}: {len(labels)} figures are there already")
        else:
            executed = _from_build(notebook, cache)
            if executed is None:
                say(f"{head}: running the chapter (minutes) …")
                executed = _execute(path, notebook)
            made = {figure.label: figure for figure in figures(executed)}
            for label in labels:
                if label in made:
                    figure = _worded(made[label], words, say)
                    ready[label] = [p.name for p in figure.save(out, **how)]
                    done.parent.mkdir(parents=True, exist_ok=True)
                    text = json.dumps({"digest": digest, "figures": before | ready}, indent=1)
                    paths.write_bytes(done, text.encode())
            missing = [label for label in labels if label not in made]
            say(f"{head}: {len(ready)} figures in {time.perf_counter() - start:.0f} s")
            if missing:
                raise ValueError(f"{path.stem} ran, but left no figure {', '.join(missing)}")
        files += [out / name for label in labels for name in ready[label]]
    return files


def _worded(figure, words, say):
    """The figure with other words, if any; what has none is said once."""
    if words is None:
        return figure
    made = figure.in_words(words)
    absent = words.absent.pop(figure.label, [])
    if absent:
        shown = ", ".join(f"“{text if len(text) < 60 else text[:57] + '…'}”" for text in absent[:3])
        more = f" and {len(absent) - 3} more" * (len(absent) > 3)
        say(f"{figure.label}: no words in {words.language} for {shown}{more}: English there")
    return made


def _of_ones_own(options):
    """The figure that the command line asks for, of the reader's own data."""
    from synthlib import data, models
    from synthlib.viz import yours

    wanted = "triplets" if options.what == "thresholds" else "lists"
    if not getattr(options, wanted):
        raise ValueError(f"figures {options.what} needs --{wanted} FILE")
    if options.what == "thresholds":
        table, rejects = data.load_triplets(options.triplets)
        _say_rejects(options.triplets, rejects)
        return yours.thresholds(table.to_pandas(), options.alpha, options.beta, options.gamma)
    if not options.encoder:
        raise ValueError(f"figures {options.what} needs --encoder NAME, one that wrote no list")
    named = {}
    for given in options.lists:
        name, equals, file = given.rpartition("=")
        if Path(given).is_file():  # a name may hold the sign
            name, file = Path(given).stem, given
        name = name if equals or name else Path(file).stem
        if name in named:
            raise ValueError(f"two files are named {name!r}: write NAME=FILE")
        named[name], rejects = data.load_ranking_lists(file)
        _say_rejects(file, rejects)
    encode = models.load_encoder(options.encoder, pooling=options.pooling).encode
    if options.what == "heatmaps":
        return yours.heatmaps(named, encode, length=options.length)
    return yours.trajectories(named, encode, shown=options.shown)


def _say_rejects(file, rejects):
    if len(rejects):
        first = rejects.iloc[0]
        print(f"{file}: left out {len(rejects)} that could not be read, the first in line "
              f"{first['line']}: {first['reason']}")  # fmt: skip


def main(argv=None, more=None):
    """Command line; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
    more : dict of str to callable, optional
        Figures of a reader's own that are not drawn of files alone, by name: each a function of
        the options and of `say` that gives a `Figure`.
    """
    parser = commands.figures()
    options = parser.parse_args(argv)
    if options.list:
        for path, labels in chapters(options.notebooks).items():
            for label in labels:
                print(f"{path.stem}  {label}")
        return 0
    if not options.out:
        parser.error("--out DIR is needed: the folder for the files")
    say = lambda line: print(line, flush=True)  # noqa: E731
    names = {"formats": options.format, "width": options.width, "mode": options.theme,
             "dpi": options.dpi, "text": options.text}  # fmt: skip
    how = {name: value for name, value in names.items() if value is not None}
    words = other_words.load(options.words) if options.words else None
    if options.what:
        own = (more or {}).get(options.what)
        figure = own(options, say) if own else _of_ones_own(options)
        figure = _worded(figure, words, say)
        say(figure.alt)
        say(f"{len(figure.save(options.out, **how))} files in {options.out}")
        return 0
    files = regenerate(options.out, options.only, options.notebooks, say, words, **how)
    print(f"{len(files)} files in {options.out}")
    return 0
