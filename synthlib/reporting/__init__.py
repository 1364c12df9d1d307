"""A page (HTML, one file, nothing fetched) of what a run has done, for who has never seen it.

`write` reads the folder of a run of any method, finished or not, counts what is in it again from
its shards and files (`multicsr`, `art`, `ranking`), and sets it as a page (`page`). No model is
loaded. A hundred thousand rows are read some thousand at a time.
"""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

from synthlib import commands
from synthlib.paths import write_bytes
from synthlib.reporting import art, multicsr, page, ranking
from synthlib.reporting.page import (
    Markup,
    bar,
    bullets,
    cards,
    facts,
    join,
    paragraph,
    quoted,
    share,
    side_by_side,
    table,
    tag,
)
from synthlib.reporting.texts import CLEAR, RULE
from synthlib.runs.folder import Run

__all__ = ["build", "main", "write"]

_METHODS = {"multicsr": multicsr, "ranking": ranking, "art": art}
_MOST = 12  # reasons of loss, and words on each side, that are shown


def write(folder, out=None, *, sample=8, seed=0) -> Path:
    """Write the report page of a run.

    Parameters
    ----------
    folder : path
        Of a run.
    out : path, optional
        Default ``report.html`` in the run's folder.
    sample : int ≥ 0
        Texts that are shown, of those kept and of those left out.
    seed : int
        Draws them.

    Returns
    -------
    Path

    Raises
    ------
    OSError, ValueError
        Where there is no run, and where a file of it cannot be read.
    """
    if sample < 0:
        raise ValueError(f"sample must be 0 or more, got {sample}")
    run = Run(folder)
    target = Path(out) if out is not None else run.folder / "report.html"
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: give the name of a file")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} into")
    content = build(run, sample=sample, seed=seed)
    write_bytes(target, content.encode("utf-8", "replace"))
    return target


def build_findings(run: Run, sample=0, seed=0):
    """What is in a run's folder, as `findings.Findings`; refuse one of another version."""
    try:
        return _METHODS[run.method].find(run, sample, seed)
    except KeyError as error:
        raise ValueError(run.lacks(error)) from None


def versions(run: Run) -> str:
    """What computed a run, in words; empty where it was not noted."""
    held = {}
    for call in run.made.get("calls", []):
        for name, version in call.get("versions", {}).items():
            held.setdefault(name, []).append(version)
    return ", ".join(f"{name} {' and '.join(dict.fromkeys(v))}" for name, v in held.items())


def build(run: Run, *, sample=8, seed=0) -> str:
    """The page of a run, as text; arguments as `write`."""
    found = build_findings(run, sample, seed)
    numbers = iter(range(1, 100))

    def pictures(made):
        return page.figures(*(page.figure(one, next(numbers)) for one in made))

    named = paragraph(f"Folder {run.folder.absolute().name}, {_dates(run)}", class_="note")
    lead = join(named, paragraph(found.purpose), _state(run, found), _key(found))
    return page.document(found.title, lead, [
        ("Look at this first", _look(run, found)),
        ("How it was made", _made(run, found)),
        ("From sentences to training data", _funnel(found)),
        ("What was lost, and why", _losses(found)),
        ("The texts themselves", _sample(found, sample, seed)),
        ("What decided", join(pictures(found.pictures), *map(_table, found.tables))
         if found.pictures or found.tables else ""),
        ("What the selection changes", _changes(found)),
        ("Training", pictures(found.curves) if found.curves else _no_curve(found)),
        ("Examination", join(*map(_table, found.examination)) if found.examination else ""),
        ("Time and memory", _times(run)),
        ("Words used on this page", facts(found.words)),
    ])  # fmt: skip


# ------------------------------------------------------------------ how far it is
def _open(found) -> list:
    return [step for step in found.steps if step.state in ("open", "begun")]


def _state(run, found) -> Markup:
    left = _open(found)
    if not left:
        return paragraph("This run is finished.", class_="state")
    done = sum(step.state == "done" for step in found.steps)
    asked = sum(step.state != "not asked for" for step in found.steps)
    now = left[0]
    said = f"This run is not finished: {done} of {asked} steps are done. It stands at "
    more = f" ({now.said})" if now.said else ""
    command = run.command()
    goes_on = (
        "The call that began it goes on with it; its sentences were given in memory."
        if command is None else join("This goes on with it: ", tag("code", command))
    )  # fmt: skip
    return tag(
        "div", paragraph(said, tag("strong", now.name), more, ". Figures below are of what is "
                         "there so far."), paragraph(goes_on), class_="state open",
    )  # fmt: skip


def _key(found) -> Markup:
    if not found.key:
        return Markup("")
    return tag("ul", *(tag("li", tag("b", value), said) for value, said in found.key), class_="key")


def _look(run, found) -> Markup:
    said = [note for entry in run.journal if (note := entry.get("note"))]
    notes = [f"The run said: {note}" for note in dict.fromkeys(said)]
    earlier = sorted(run.folder.glob("earlier-*"))
    if earlier:
        notes.append(
            f"The run was given other settings later: what they replaced is in "
            f"{', '.join(one.name for one in earlier)} and is not counted here."
        )
    if not found.look and not notes:
        return paragraph("By the rules of this page nothing stands out: few copies, few repeated "
                         "texts, enough that was kept, no examination that went down where there "
                         "was one before. Read some of the texts all the same.")  # fmt: skip
    return bullets([*found.look, *notes])


# ------------------------------------------------------------------ how it was made
def _made(run, found) -> Markup:
    asked, calls = run.asked, run.made.get("calls", [])
    source = asked["source"]
    words = {"pocket": "sentences of the pocket world, which the package makes itself",
             "a list": "sentences given in memory"}  # fmt: skip
    devices = dict.fromkeys(
        f"{call.get('device')}, {call.get('precision')}"
        + (f", {call['processes']} processes" if call.get("processes", 1) > 1 else "")
        for call in calls
    )  # fmt: skip
    rows = [
        ("tier (preset)", asked["tier"]), ("data", words.get(source, source)),
        ("seed", asked.get("seed")), *found.models, *found.settings,
        ("dates", _dates(run)), ("device, precision of training", "; ".join(devices) or None),
        ("versions", versions(run) or "not noted"),
        ("folder", str(run.folder.absolute())),
        ("page made", f"{datetime.date.today()} with Python {platform.python_version()}"),
    ]  # fmt: skip
    command = run.command()
    again = (
        paragraph("The sentences were given in memory, so no command makes it again.")
        if command is None
        else join(
            paragraph("The same again (with another --out), or on from where it stands. All that "
                      "decides the run and is not its tier's is written out:"),
            tag("pre", tag("code", command), tabindex="0"),
        )
    )  # fmt: skip
    return join(facts(rows), again)


def _dates(run) -> str:
    said = [entry["at"] for entry in run.journal if "at" in entry]
    if said:
        days = (said[0][:16].replace("T", " "), said[-1][:16].replace("T", " "))
        return f"{days[0]} to {days[1]} UTC" if days[0] != days[1] else f"{days[0]} UTC"
    times = [file.stat().st_mtime for file in run.folder.rglob("*")
             if file.is_file() and file.name not in (".lock", "report.html")]  # fmt: skip
    days = [str(datetime.date.fromtimestamp(one(times))) for one in (min, max)]
    return f"{' to '.join(dict.fromkeys(days))} (by the dates of its files)"


# ------------------------------------------------------------------ what was lost
def _funnel(found) -> Markup:
    if not found.funnel:
        return Markup("")
    first = max(count for _, count in found.funnel) or 1
    rows = [(stage, count, share(count, first), bar(count, first)) for stage, count in found.funnel]
    return table("What is left after each stage", ["stage", "number", "of all", ""], rows)


def _losses(found) -> Markup:
    parts = []
    for said, losses, note in (
        ("Lines and sentences that could not be used", found.unread, ""),
        ("Written and left out", found.left, found.left_note),
    ):
        total = sum(loss.count for loss in losses)
        if not total:
            parts.append(join(tag("h3", said), paragraph("None.", class_="note")))
            continue
        rows = [(loss.reason, loss.count, share(loss.count, total)) for loss in losses[:_MOST]]
        rest = losses[_MOST:]
        more = f" {len(rest)} rarer reasons are not shown." if rest else ""
        counted = table(f"{total:,} by reason", ["reason", "number", "share"], rows,
                        note=note + more)  # fmt: skip
        examples = [
            join(tag("h4", f"For example, {loss.reason}"), bullets(
                join(quoted(text), tag("span", f" ({place})", class_="note"))
                for place, text in loss.examples.rows()
            ))
            for loss in losses[:_MOST]
        ]  # fmt: skip
        parts.append(join(tag("h3", said), counted, *examples))
    return join(*parts)


def _sample(found, size, seed) -> Markup:
    if not size or not (found.kept_cards or found.left_cards):
        return Markup("")
    return join(
        paragraph(f"Up to {size} of each side, drawn by the seed {seed}: nobody has chosen them. "
                  "--sample and --seed show others. " + found.sample_note),
        side_by_side(cards("Kept", found.kept_cards, "Nothing was kept."),
                     cards(found.left_title, found.left_cards, "Nothing was left out.")),
    )  # fmt: skip


def _changes(found) -> Markup:
    texts, rows = found.texts, []
    for kind, said in found.kinds.items():
        for which, column in (
            ("all", texts.whole(kind)), ("kept", texts.columns[True, kind]),
            ("left out", texts.columns[False, kind]),
        ):  # fmt: skip
            rows.append((
                f"{said}: {which}", column.texts,
                column.words / column.texts if column.texts else None,
                None if kind == "anchor" else share(column.copies, column.texts),
                share(column.blank, column.texts), share(column.repeated, column.texts),
            ))  # fmt: skip
    if not texts.whole("anchor").texts:
        return Markup("")
    both = len(set().union(*texts.vocabulary.values()))
    words = (
        f"Different words, all kinds of text together: {both:,} in all, "
        f"{len(texts.vocabulary[True]):,} of them in what was kept."
    )
    return join(
        table("The texts before and after the selection",
              ["texts", "number", "words each", "copies", "blank", "repeated"], rows,
              note="Repeated: equal to a text of the same kind that came before. Copies equal "
              "their starting sentence. Case and gaps do not count."),
        paragraph(words),
        _contrast(texts),
    )  # fmt: skip


def _contrast(texts) -> Markup:
    found = texts.contrast()
    more = [one for one in found if one[3] >= CLEAR][:_MOST]
    less = [one for one in found[::-1] if one[3] <= -CLEAR][:_MOST]
    if not texts.anchors[True] or not texts.anchors[False]:
        return paragraph("All was kept, or all left out: there is nothing to compare.",
                         class_="note")  # fmt: skip
    headers = ["word", "kept with it", "left out with it", "z"]
    parts = []
    for said, rows in (("The selection favours", more), ("The selection throws away", less)):
        body = paragraph("No word stands out.", class_="note")
        if rows:
            body = table(
                "Words of the starting sentences", headers,
                [(quoted(word), kept, left, f"{z:+.1f}".replace("-", "−"))
                 for word, kept, left, z in rows],
            )  # fmt: skip
        parts.append(tag("section", tag("h3", said), body))
    compared = paragraph(f"{RULE} {len(found):,} words were compared.", class_="note")
    return join(side_by_side(*parts), compared)


# ------------------------------------------------------------------ training, time
def _table(one) -> Markup:
    return table(one.caption, one.headers, one.rows, note=one.note)


def _no_curve(found) -> Markup:
    if any(step.name.endswith("trained") and step.state == "done" for step in found.steps):
        return paragraph("The curve was not kept: the run was quiet, or made by an earlier "
                         "version.", class_="note")  # fmt: skip
    return Markup("")


def _times(run) -> Markup:
    rows = []
    for one in run.times():
        held = [f"{one[name] / 2**30:.1f} GiB" if name in one else "" for name in
                ("process", "device")]  # fmt: skip
        step = one["step"].replace(" raw", ", control")  # ART's folder of that name
        rows.append((step + (" (stopped)" if one["stopped"] else ""),
                     _duration(one["seconds"]), *held))  # fmt: skip
    if not rows:
        return paragraph("Not kept: the run was quiet, or made by an earlier version.",
                         class_="note")  # fmt: skip
    total = _duration(sum(one["seconds"] for one in run.times()))
    return table(
        f"Steps as they took their time: {total} in all", ["step", "time", "memory", "GPU memory"],
        rows, note="Time by the clock, what came before an interruption counted where it was "
        "stopped cleanly. Memory: the most that the process had held by the end of the step; of a "
        "GPU, the most within it.",
    )  # fmt: skip


def _duration(seconds) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


# ------------------------------------------------------------------ the command line
def main(argv=None) -> int:
    """``python -m synthlib report RUN``."""
    given = commands.report().parse_args(argv)
    print(write(given.run, given.out, sample=given.sample, seed=given.seed))
    return 0
