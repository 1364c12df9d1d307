"""The notebooks that were handed out: which exercises they hold, and which submission is of which.

They decide what is checked and with what: nothing of it is read from a submission.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from synthlib import paths
from synthlib.grading import cells


@dataclass(frozen=True)
class Handout:
    """A chapter's notebook as students get it.

    Attributes
    ----------
    chapter : int
    title : str
    functions : dict of str to str
        Exercise (``ch03.mixture``) and the name of the function that its check is called with.
    sources : frozenset of str
        Of its code cells.
    ids : frozenset of str
        Of its cells.
    digest : str
    """

    chapter: int
    title: str
    functions: dict
    sources: frozenset
    ids: frozenset
    digest: str


def read(path):
    """The cells of a notebook, each as (id, whether it is code, source).

    Raises
    ------
    ValueError
        It is no notebook; says why.
    """
    try:
        raw = json.loads(Path(path).read_text("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not a notebook: no text in UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("not a notebook: no JSON") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    held = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(held, list):
        raise ValueError("not a notebook: it has no cells")
    found = []
    for cell in held:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        # an editor may leave other ends of lines, and a last one
        source = source.replace("\r\n", "\n").rstrip()
        found.append((str(cell.get("id", "")), cell.get("cell_type") == "code", source))
    return found


def find(folder=None):
    """The handed-out notebooks, by chapter.

    Parameters
    ----------
    folder : path, optional
        With ``NN_name.ipynb`` files; by default the repository's ``notebooks/student``.

    Returns
    -------
    dict of int to Handout

    Raises
    ------
    FileNotFoundError
        There are none.
    """
    given = folder
    if folder is None and paths.ROOT is not None:
        folder = paths.ROOT / "notebooks" / "student"
    files = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")) if folder is not None else []
    if not files:
        where = f"in {given}" if given else "here"
        raise FileNotFoundError(
            f"no student notebooks {where}: name the folder with those that were handed out with "
            "--notebooks"
        )
    found = {}
    for file in files:
        held = read(file)
        title = next((re.match(r"#\s+(.+)", s)[1] for _, code, s in held
                      if not code and re.match(r"#\s+\S", s)), file.stem)  # fmt: skip
        functions = {}
        for _, code, source in held:
            if code and (call := cells.CHECK.fullmatch(source.strip())):
                functions[f"ch{call[1]}.{call[2]}"] = call[3]
        chapter = int(file.name[:2])
        found[chapter] = Handout(
            chapter, title, functions, frozenset(s for _, code, s in held if code),
            frozenset(i for i, _, _ in held if i), hashlib.sha256(file.read_bytes()).hexdigest(),
        )  # fmt: skip
    return found


def chapter_of(held, handouts):
    """The chapter of a submission's cells, or None where nothing of any chapter is in it.

    By the cells that are one chapter's alone: their ids, or their text. Where an editor has changed
    all of them, by the names of the exercises' functions.
    """
    shared = Counter(x for h in handouts.values() for x in h.ids | h.sources)
    ids = {i for i, _, _ in held}
    sources = [source for _, code, source in held if code]
    scores = Counter()
    for chapter, handout in handouts.items():
        own = {x for x in handout.ids | handout.sources if shared[x] == 1}
        scores[chapter] = len(own & (ids | set(sources)))
    if not any(scores.values()):
        made = re.findall(r"^def\s+(\w+)", "\n".join(sources), re.M)
        for chapter, handout in handouts.items():
            scores[chapter] = len(set(handout.functions.values()) & set(made))
    best = max(scores, key=scores.get, default=None)
    return best if best is not None and scores[best] else None
