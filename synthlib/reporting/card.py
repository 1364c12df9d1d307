"""A card for the Hugging Face Hub, of the data set that a run has written or of its encoder.

A ``README.md`` with the head that the Hub reads and the facts of the run's folder. No model is
loaded, and nothing is sent anywhere but by ``--push`` with ``--yes``. What only the owner of the
sentences knows, their licence and language, is left to be filled in.
"""

from __future__ import annotations

import html
import json
import math
import re
import tempfile
from pathlib import Path

from synthlib import commands
from synthlib.paths import write_bytes
from synthlib.reporting import build_findings, hub, outgoing, page, versions
from synthlib.runs.folder import Run

OF = ("data", "encoder")
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
# What Markdown, as the Hub reads it, takes for more than itself; "<" and "&" become entities.
_MARKS = re.compile(r"[\\`*_\[\]#|~$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def write(folder, out, *, of="data", licence=None, language=None) -> Path:
    """Write the card of a run.

    Parameters
    ----------
    folder : path
        Of a run.
    out : path
        Folder for ``README.md``; made where it is not there. A card that is there already stays.
    of : {"data", "encoder"}
    licence, language : str, optional
        As the Hub names them (cc-by-4.0, en); left to be filled in where they are not given.

    Returns
    -------
    Path
        Of the card.

    Raises
    ------
    OSError, ValueError
        Where there is no run, where it has not come so far, and where there is a card already.
    """
    content = card(Run(folder), of=of, licence=licence, language=language)
    target = Path(out) / "README.md"
    if target.exists():
        raise FileExistsError(f"{target} is there already: move it, or give another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, content.encode("utf-8", "replace"))
    return target


def card(run: Run, *, of="data", licence=None, language=None) -> str:
    """The card of a run, as Markdown; arguments as `write`."""
    if of not in OF:
        raise ValueError(f"a card is of {' or '.join(OF)}, got {of!r}")
    files = outgoing.names(run, of)
    if not files:
        what = "the data set" if of == "data" else "the encoder"
        raise ValueError(
            f"{run.folder} has not come as far as {what}: give the run's own command again"
        )
    found = build_findings(run)
    title, rows = found.title.partition(":")[0], sum(map(run.count, files))
    parts = [_head(run, of, files, rows, licence, language)]
    if of == "data":
        what = "Ranking lists" if run.method == "ranking" else "Triplets"
        parts += [
            f"# {what} written by {plain(title)}",
            f"Synthetic sentences: a language model wrote them, and no person has read them all. "
            f"{plain(found.purpose)}",
            "## Files", _table(["file", "rows"], [(name, run.count(name)) for name in files]),
        ]  # fmt: skip
    else:
        parts += [
            f"# Sentence encoder trained by {plain(title)}",
            f"For `sentence-transformers`, trained on synthetic data. {plain(found.purpose)}",
        ]
        modules = run.folder / files[0] / "modules.json"
        if modules.is_file() and '"synthlib.' in modules.read_text("utf-8"):
            parts.append("It pools by a prompt: load it with `synthlib.models.load_encoder`.")
    parts += ["## How it was made", _table(["what", "value"], _facts(run, found))]
    if found.funnel:
        parts += ["## What is left after each stage", _table(["stage", "number"], found.funnel)]
    lost = [(loss.reason, loss.count) for loss in [*found.unread, *found.left]]
    if lost:
        parts += ["## What was dropped", _table(["reason", "number"], lost), plain(found.left_note)]
    if of == "encoder":
        parts.append("## Examination")
        for one in found.examination:
            parts += [
                plain(one.caption),
                _table(one.headers, one.rows),
                plain(outgoing.public(run, one.note)),
            ]
        if not found.examination:
            parts.append("It was not examined.")
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value) -> str:
    """A value as Markdown that shows it and does nothing else: no tag, link or line of its own."""
    if isinstance(value, float):
        value = "" if math.isnan(value) else f"{value:.4g}"
    elif isinstance(value, int):
        value = f"{value:,}"
    said = " ".join(page.visible("" if value is None else value).split())
    return html.escape(_MARKS.sub(r"\\\g<0>", said), quote=False)


def _head(run, of, files, rows, licence, language) -> str:
    """The Hub's YAML; JSON strings are YAML."""
    fill = "# license: fill in what the source of the sentences and the models that wrote allow"
    lines = [fill if licence is None else f"license: {json.dumps(licence)}"]
    fill = "# language: fill in, for example en"
    lines.append(fill if language is None else f"language: [{json.dumps(language)}]")
    if of == "data":
        size = next((name for most, name in _SIZES if rows < most), "n>1M")
        lines += [
            "task_categories: [sentence-similarity]", f"size_categories: [{json.dumps(size)}]",
            "tags: [synthetic, sentence-transformers]", "configs:", "- config_name: default",
            f"  data_files: {json.dumps(files)}",
        ]  # fmt: skip
    else:
        lines += [
            "library_name: sentence-transformers", "pipeline_tag: sentence-similarity",
            "tags: [sentence-transformers, feature-extraction, synthetic]",
        ]  # fmt: skip
    return "\n".join(["---", *lines, "---"])


def _facts(run, found) -> list:
    rows = [
        ("method", found.title.partition(":")[0]), ("tier (preset)", run.asked["tier"]),
        ("sentences from", run.asked["source"]), ("seed", run.asked.get("seed")),
        *found.models, *found.settings, ("versions", versions(run)),
    ]  # fmt: skip
    return [(name, outgoing.public(run, value)) for name, value in rows if value not in (None, "")]


def _table(headers, rows) -> str:
    lines = [headers, ["---"] * len(headers), *([plain(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv=None) -> int:
    """``python -m synthlib card RUN --out DIR``, ``… --push NAMESPACE/NAME``."""
    parser = commands.card()
    given = parser.parse_args(argv)
    if given.push:
        return _push(given)
    if given.out is None:
        parser.error("--out or --push is wanted")
    if given.private or given.update or given.yes:
        parser.error("--private, --update and --yes belong to --push")
    print(write(given.run, given.out, of=given.of, licence=given.license, language=given.language))
    return 0


def _push(given) -> int:
    """Say what would go to the Hub; with ``--yes``, send it."""
    hub.check(given.push)
    run, kind = Run(given.run), {"data": "dataset", "encoder": "model"}[given.of]
    text = _text(run, given)
    with tempfile.TemporaryDirectory() as room:
        files = outgoing.files(run, given.of, Path(room))
        seen = "private" if given.private else "public"
        print(f"To {given.push} (a {kind}; {seen} if it is made now), as one commit:")
        files = {"README.md": text.encode("utf-8", "replace"), **files}
        for name, file in files.items():
            size = len(file) if isinstance(file, bytes) else file.stat().st_size
            print(f"{size:>15,} bytes  {name}")
        print(f"Stays here: {', '.join(outgoing.stays(run, given.of, files)) or 'nothing'}")
        head = re.match(r"---\n.*?^---$", text, re.M | re.S)
        print(f"Head of the card:\n{head[0] if head else 'none'}", flush=True)
        if not given.yes:
            print("Nothing was sent: give --yes too, and it is.")
            return 0
        print(hub.push(given.push, files, kind=kind, private=given.private, update=given.update))
    return 0


def _text(run, given) -> str:
    """The card to send: the one in ``--out``, as somebody may have filled it in, or a new one."""
    there = given.out and Path(given.out) / "README.md"
    if there and there.exists():
        if given.license or given.language:
            raise ValueError(
                f"{there} is sent as it is: write licence and language into it, or leave --out out"
            )
        return there.read_text("utf-8")
    made = {"of": given.of, "licence": given.license, "language": given.language}
    if there:
        return write(given.run, given.out, **made).read_text("utf-8")
    return card(run, **made)
