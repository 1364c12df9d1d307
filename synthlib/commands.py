"""The options of every command, as parsers that are made without loading a model's library.

So that ``--help`` and a mistyped option answer at once. Values are checked where they are used;
a run's choices are therefore named in the help and not repeated here.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import math
import os
import sys
import warnings
from pathlib import Path

from synthlib import options, paths, prompts, tiers


class Parser(argparse.ArgumentParser):
    """Says a mistake in one line: what was typed, what is near to it, and where the rest stands."""

    def __init__(self, *arguments, **more):
        more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **more)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does; an option that is not there is named before all else."""
        args = list(sys.argv[1:] if args is None else args)
        known = [name for name in self._option_string_actions if name.startswith("--")]
        given = set()
        for typed in args:
            if typed == "--" or (self._subparsers is not None and not typed.startswith("-")):
                break  # a command's own parser looks at the rest
            name = typed.partition("=")[0]
            if not name.startswith("--"):
                continue
            meant = [name] if name in known else [o for o in known if o.startswith(name)]
            if not meant:
                self.error(f"there is no option {name}{near(name, known)}")
            action = self._option_string_actions[meant[0]]
            if action.dest in given and not isinstance(action, argparse._AppendAction):
                warnings.warn(f"{meant[0]} is given twice: the last one counts", stacklevel=2)
            given.add(action.dest)
        return super().parse_known_args(args, namespace)

    def _print_message(self, message, file=None):
        """Write it; argparse would pass over a long text that finds no room, too."""
        if message:
            with contextlib.suppress(BrokenPipeError):  # whoever has read enough
                (file or sys.stderr).write(message)

    def error(self, message):
        """Leave with exit code 2 and a line on standard error."""
        self.exit(2, f"error: {message} ({self.prog} --help shows all)\n")


def near(typed: str, names) -> str:
    """`; did you mean …?`, or nothing where no name is like what was typed."""
    found = difflib.get_close_matches(typed, list(names), n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(found)}?" if found else ""


# ------------------------------------------------------------------ values
def whole(text) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number is wanted, got {text}") from None


def number(text, wanted="a number") -> float:
    """A finite number: no setting means anything where it is infinite or none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{wanted} is wanted, got {text}")
    return value


def name(text) -> str:
    """A path, or a name from the Hub: ``~`` stands for the home folder, as in a shell, which
    leaves it alone in ``--out=~/runs``."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is an address: download what is there, and give the file or folder"
        )
    if text.startswith("./~"):  # the name of a folder here, for all that read it later
        return os.path.abspath(text)
    found = os.path.expanduser(text)
    if found.startswith("~"):
        raise argparse.ArgumentTypeError(
            f"{text} begins with ~, and no home folder is known for it: write it out, or put ./ "
            "before a name that begins so"
        )
    return found


def path(text) -> Path:
    """A path, its ``~`` resolved."""
    return Path(name(text))


def _stages(text) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"numbers with commas, such as 1,2,3, or none, got {text!r}"
        ) from None


# ------------------------------------------------------------------ the runs
def _run(method, of, description, examples, least):
    parser = Parser(
        prog=f"python -m synthlib run {method}",
        description=f"{description}\nInterrupt it when you like: the same command goes on, with "
        "the same result. With later settings\nchanged (training, examination …) it goes on from "
        "what still holds, and keeps the old encoder aside.",
        epilog=f"{least}\n\nexamples:\n{examples}",
    )
    add = parser.add_argument
    add("--out", type=name, required=True, metavar="DIR",
        help="folder of the run: new, or to go on in")  # fmt: skip
    add("--dry-run", action="store_true",
        help="print models, counts and an estimate of the time, and do nothing")  # fmt: skip
    add("--quiet", action="store_true",
        help="no progress bars, no report, no journal of times and notes")  # fmt: skip
    group = parser
    for one in options.declared(of).values():
        if one.group:
            group = parser.add_argument_group(one.group)
        _add(group, one)
    return parser


_READ = {int: whole, float: number, options.Name: name, tuple[int, ...]: _stages}
_METAVAR = {int: "N", float: "X"}


def _add(group, one: options.Option) -> None:
    """An option as it is declared, for the command line."""
    flags, about = one.flags or (f"--{one.name.replace('_', '-')}",), one.help
    if one.kind is bool:
        action = "store_false" if one.default else "store_true"
        group.add_argument(*flags, dest=one.name, action=action, help=about)
        return
    if one.default is not None and one.name != "until":
        shown = f"{one.default:g}" if one.kind is float else one.default
        about += f" (default: {shown})"
    more = {"nargs": "+"} if one.kind == tuple[str, ...] else {}
    if one.choices and not one.metavar:
        more["choices"] = one.choices
    else:
        more["metavar"] = one.metavar or _METAVAR.get(one.kind, "NAME")
        more["type"] = _or_words(one.words) if one.words else _READ.get(one.kind)
    group.add_argument(*flags, dest=one.name, default=one.default, help=about, **more)


def _or_words(words):
    """Reads a number, or one of some words in its place."""

    def read(text):
        wanted = f"a number or {' or '.join(words)}"
        return text if text in words else number(text, wanted)

    return read


def _each_tier(say) -> str:
    return ", ".join(f"{name} {say(tiers.get(name)):,}" for name in tiers.NAMES)


def multicsr() -> Parser:
    """Of ``run multicsr``."""
    return _run(
        "multicsr",
        options.MultiCSR,
        "MultiCSR from premises to an evaluated encoder.",
        "  python -m synthlib run multicsr --out runs/first\n"
        "  python -m synthlib run multicsr --tier laptop --sentences 40 --data downstream "
        "--out runs/real\n"
        "  python -m synthlib run multicsr --tier colab --premises mine.txt --out runs/mine\n"
        "  python -m synthlib run multicsr --no-logits answers.jsonl --encoder BERT --pooling cls "
        "\\\n      --data downstream --out runs/api\n"
        "  python -m synthlib run multicsr --generator api:MODEL --base-url URL --omega 0 \\\n"
        "      --tier colab --premises mine.txt --budget 2000000 --out runs/served\n"
        "  torchrun --nproc_per_node 4 -m synthlib run multicsr --tier paper --out runs/paper\n"
        "  python -m synthlib run multicsr --tier paper --engine ray --address auto \\\n"
        "      --until judged --out runs/paper",
        "least number of triplets that must be kept, a batch: "
        f"{_each_tier(lambda tier: tier.multicsr.batch_size)};\nwith fewer premises give "
        "--sentences N, and the batch is made to fit.",
    )


def ranking() -> Parser:
    """Of ``run ranking``."""
    return _run(
        "ranking",
        options.Ranking,
        "Ranking sentences from anchors to a post-trained, evaluated encoder.",
        "  python -m synthlib run ranking --out runs/ranked\n"
        "  python -m synthlib run ranking --tier colab --base runs/mine/encoder \\\n"
        "      --premises mine.txt --clusters 50 --out runs/ranked\n"
        "  python -m synthlib run ranking --base runs/mine/encoder --lists lists.jsonl \\\n"
        "      --data downstream --out runs/api\n"
        "  torchrun --nproc_per_node 4 -m synthlib run ranking --tier paper --until kept \\\n"
        "      --out runs/paper",
        "least number of distinct sentences, one a cluster: "
        f"{_each_tier(lambda tier: tier.ranking.clusters)};\nwith fewer give --sentences N, and "
        "the clusters are made to fit.",
    )


def art() -> Parser:
    """Of ``run art``."""
    return _run(
        "art",
        options.ART,
        "Adaptive reinforcement tuning: a generator and an encoder, round after round, and the "
        "control\nbeside them.",
        "  python -m synthlib run art --tier pocket --rounds 3 --out runs/art\n"
        "  python -m synthlib run art --tier colab --premises mine.txt --rounds 1 \\\n"
        "      --data downstream --out runs/mine\n"
        "  torchrun --nproc_per_node 4 -m synthlib run art --tier paper --out runs/paper",
        "least number of distinct sentences, the anchors of all rounds: "
        f"{_each_tier(lambda tier: tier.art.rounds * tier.art.anchors)};\nwith fewer give "
        "--sentences N, and anchors, steps of PPO and batches are made to fit.",
    )


# ------------------------------------------------------------------ the others
def report() -> Parser:
    """Of ``report``."""
    parser = Parser(
        prog="python -m synthlib report",
        description="Write a page (HTML, one file that needs nothing else) of a run: what was "
        "done, what was lost and why,\nthe texts themselves, what decided, training, examination. "
        "Of any method, finished or not.",
        epilog="Everything is counted from the run's files; no model is loaded.\n\n"
        "  python -m synthlib report runs/mine\n"
        "  python -m synthlib report runs/mine --sample 20 --seed 1 --out mine.html",
    )
    add = parser.add_argument
    add("run", type=name, metavar="RUN", help="folder of a run")
    add("--out", type=name, metavar="FILE", help="default: report.html in the run's folder")
    add("--sample", type=whole, default=8, metavar="N",
        help="texts shown, of those kept and of those left out (default: 8)")  # fmt: skip
    add("--seed", type=whole, default=0, metavar="N", help="draws them (default: 0)")
    return parser


def status() -> Parser:
    """Of ``status``."""
    parser = Parser(
        prog="python -m synthlib status",
        description="Show a run from outside, at work or stopped: how far each step is, rows "
        "written, kept and rejected,\nthe rate of the last minutes and the time left, the last "
        "line of its journal, and how to go on.",
        epilog="Nothing in the folder is changed and no model is loaded. Counts are those of whole "
        "shards.\n\n"
        "  python -m synthlib status runs/mine\n"
        "  watch -n 60 python -m synthlib status runs/mine\n"
        "  python -m synthlib status runs/mine --json",
    )
    add = parser.add_argument
    add("run", type=name, metavar="RUN", help="folder of a run")
    add("--json", action="store_true", help="the same for a program")
    return parser


def card() -> Parser:
    """Of ``card``."""
    parser = Parser(
        prog="python -m synthlib card",
        description="Write a card (README.md) for the Hugging Face Hub, of the data that a run has "
        "written or of its encoder:\nmethod, models, settings, versions, counts, what was dropped, "
        "examination.\nWith --push, show what would go to the Hub "
        "beside it; only with --yes is anything sent.",
        epilog="The token is read from HF_TOKEN or from the login of `hf auth login`. A card in "
        "--out DIR is sent as it is.\n\n"
        "  python -m synthlib card runs/mine --out cards/data\n"
        "  python -m synthlib card runs/mine --of encoder --language en --out cards/encoder\n"
        "  python -m synthlib card runs/mine --of encoder --push NAMESPACE/NAME --private --yes",
    )
    add = parser.add_argument
    add("run", type=name, metavar="RUN", help="folder of a run")
    add("--out", type=name, metavar="DIR", help="folder for README.md")
    add("--of", choices=("data", "encoder"), default="data", help="default: data")
    add("--license", metavar="NAME", help="as the Hub names it, e.g. cc-by-4.0; left to be filled "
        "in where it is not given")  # fmt: skip
    add("--language", metavar="CODE", help="of the sentences, e.g. en; likewise")
    add("--push", type=name, metavar="NAMESPACE/NAME", help="repository of the Hub for card and "
        "data, or encoder: list what would go there")  # fmt: skip
    add("--private", action="store_true", help="where only its owner sees it (default: public)")
    add("--update", action="store_true", help="also where the repository holds other files")
    add("--yes", action="store_true", help="send it")
    return parser


def _formats(text):
    known = ("html", "png", "svg", "pdf")
    found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not found or set(found) - set(known):
        raise argparse.ArgumentTypeError(f"some of {', '.join(known)} are wanted, given {text!r}")
    return found


def _inches(text):
    try:
        inches = float(text.strip().lower().removesuffix("in"))
    except ValueError:
        inches = float("nan")
    if not 1.5 <= inches <= 20:
        raise argparse.ArgumentTypeError(f"inches between 1.5 and 20, as 3.3in, given {text!r}")
    return inches


def _positive(text):
    if (number := whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 up is wanted, given {text!r}")
    return number


def figures() -> Parser:
    """Of ``figures``."""
    parser = Parser(
        prog="python -m synthlib figures",
        description="Write the book's figures with their data: CSV and what its columns are,\n"
        "description (JSON), the picture, text alternative and caption.",
        epilog="The chapters are run (about half an hour together on two cores), or read from the\n"
        "book's build where that is current. Interrupted, the same command goes on.\n\n"
        "  python -m synthlib figures --list\n"
        "  python -m synthlib figures --out f --only fig-10-greedy --format pdf --width 3.3in\n"
        "  python -m synthlib figures heatmaps --lists A=a.jsonl B=b.jsonl --encoder NAME --out f\n"
        "  python -m synthlib figures thresholds --triplets runs/mine/triplets.parquet --out f\n"
        "  python -m synthlib figures omega --generator NAME --sentences mine.txt --out f\n"
        "  python -m synthlib figures --only fig-03-omega --words de --out f",
    )
    add = parser.add_argument
    add("what", nargs="?", choices=("heatmaps", "trajectories", "thresholds", "omega"),
        help="a figure of your own data in place of the book's: similarities within ranking lists, "
        "their paths, where triplets lie between the thresholds, or what a generator writes of "
        "your sentences at each ω")  # fmt: skip
    add("--lists", nargs="+", metavar="[NAME=]FILE",
        help="of heatmaps and trajectories: ranking lists (JSON Lines or Parquet with anchor and "
        "sentences), a file a method")  # fmt: skip
    add("--triplets", type=name, metavar="FILE", help="of thresholds: triplets with scores a and b")
    add("--encoder", metavar="NAME",
        help="of heatmaps and trajectories: a model's name, a folder or a hub id")  # fmt: skip
    add("--pooling", metavar="HOW", help="of an encoder whose folder does not say how it pools")
    for bound, default in (("alpha", 3.0), ("beta", 3.0), ("gamma", 1.0)):
        add(f"--{bound}", type=float, default=default, metavar="X",
            help=f"of thresholds (default {default:g})")  # fmt: skip
    add("--length", type=int, metavar="N",
        help="of heatmaps: places of a list (default: what half of the lists reach)")  # fmt: skip
    add("--shown", type=int, default=4, metavar="N", help="of trajectories: anchors (default 4)")
    add("--generator", type=name, metavar="NAME",
        help="of omega: a model's name, a folder or a hub id")  # fmt: skip
    add("--sentences", type=name, metavar="FILE",
        help="of omega: text with one sentence a line, a table, JSON Lines or Parquet")  # fmt: skip
    add("--column", metavar="NAME", help="of omega: which column of a table holds the sentences")
    add("--n", type=_positive, metavar="N",
        help="of omega: so many of the sentences (default: at most 40)")  # fmt: skip
    add("--omega", type=float, nargs="+", metavar="W", help="of omega: values from -1 to 1 "
        "(default -0.2 0 0.1 0.2 0.3 0.4 0.5 0.6 0.8)")  # fmt: skip
    add("--nli", type=name, metavar="NAME", help="of omega: an NLI model, which says what the "
        "answers are (laptop/judge, say)")  # fmt: skip
    add("--form", choices=prompts.ALL_FORMS, help="of omega: how the generator is asked (default: "
        "the tier's for its own generator, else what its tokenizer says)")  # fmt: skip
    add("--shots", type=whole, metavar="N", help="of omega: worked examples in a prompt (default: "
        "the tier's for its own generator)")  # fmt: skip
    add("--register", choices=prompts.REGISTERS, metavar="NAME", help="of omega: worked examples "
        f"of one register alone: {', '.join(prompts.REGISTERS)}")  # fmt: skip
    add("--max-new-tokens", type=_positive, metavar="N", help="of omega: the longest answer")
    add("--seed", type=whole, default=0, metavar="N",
        help="of omega: of the instructions that are drawn (default 0)")  # fmt: skip
    add("--out", type=name, metavar="DIR", help="folder for the files")
    add("--only", action="append", default=[], metavar="NAME",
        help="a label (fig-03-omega) or a chapter (03); may be repeated")  # fmt: skip
    add("--list", action="store_true", help="show the figures' labels and stop")
    add("--format", type=_formats, metavar="F[,F]",
        help="of the picture: pdf, svg, png, html (a page that is alive by itself); "
        "default html,png,svg")  # fmt: skip
    add("--width", type=_inches, metavar="INCHES",
        help="of the picture, such as 3.3in for a column of a paper; below 4.6 panels stand below "
        "each other (default 7)")  # fmt: skip
    add("--theme", choices=("light", "dark"), help="of the picture (default light)")
    add("--dpi", type=int, metavar="N", help="dots per inch of a PNG (default 160)")
    add("--text", choices=("shapes", "text"),
        help="letters of an SVG: shapes (default), or text that can be edited")  # fmt: skip
    add("--words", type=name, metavar="FILE",
        help="texts of the figures in another language: de or es, which have twelve figures, or a "
        "JSON file of your own (synthlib/viz/words); what it lacks stays English")  # fmt: skip
    add("--notebooks", type=name, metavar="DIR", help="folder of the chapters' notebooks")
    return parser


def ledger() -> Parser:
    """Of ``ledger``."""
    parser = Parser(
        prog="python -m synthlib ledger",
        description="Measure the claims of the replication ledger over several seeds, or see "
        "whether what was measured before still comes out the same.",
        epilog="A record is fresh when the code and the weights that its measuring function "
        "reaches are those of today,\nverified when one seed of it came out the same with them (to "
        "a hundredth of the last digit shown,\na clock's figure to a twentieth), else of older "
        "code. Comments, formatting and moves between files\nmake nothing older. Interrupted, the "
        "same command goes on.\n\n"
        "  python -m synthlib ledger --status\n"
        "  python -m synthlib ledger --verify --at-most 1\n"
        "  python -m synthlib ledger --claims 02-nli-accuracy --seeds 0 1 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--claims", nargs="+", metavar="ID", help="only these (default: all)")
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2], metavar="N",
        help="to measure (default: 0 1 2)")  # fmt: skip
    add("--force", action="store_true", help="measure again what is measured, verify again what is "
        "fresh, verified or known to differ")  # fmt: skip
    add("--at-most", type=number, metavar="MINUTES", help="with --verify: leave what is recorded "
        "to take longer for one seed")  # fmt: skip
    add = parser.add_mutually_exclusive_group().add_argument
    add("--verify", action="store_true", help="run one seed of what older code measured and stamp "
        "what comes out the same, in the same precision; say what differs")  # fmt: skip
    add("--status", action="store_true", help="show each claim's state, date, commit, precision "
        "and processor, and stop")  # fmt: skip
    add("--list", action="store_true", help="show each claim's value and verdict, and stop")
    return parser


def pocket() -> Parser:
    """Of ``pocket``."""
    parser = Parser(
        prog="python -m synthlib pocket",
        description="Train the pocket laboratory's small models from nothing.",
        formatter_class=argparse.HelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=path, default=paths.POCKET, help="folder for the models")
    add("--seed", type=whole, default=0)
    add("--only", nargs="+", metavar="JOB", help="train some of them")
    add("--scale", type=number, default=1.0, help="factor on all training steps")
    add("--workers", type=whole, default=2, help="processes, one thread each")
    add("--precision", choices=("fp32", "bf16"), help="of the training (default: what is fast "
        "here); bf16 made the committed weights")  # fmt: skip
    return parser


def field() -> Parser:
    """Of ``field``."""
    parser = Parser(
        prog="python -m synthlib field",
        description="Record what real models say and come to, for the chapters on real language: "
        "tables in data/field/recorded.",
        epilog="A second of one core for an answer of a small model, hours for all recordings. "
        "What is recorded is not recorded\nagain. Interrupted, the same command goes on.\n\n"
        "  python -m synthlib models get laptop\n"
        "  python -m synthlib field --list\n"
        "  python -m synthlib field --data downstream\n"
        "  python -m synthlib field 15-lists --seeds 0",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of a recording (default: all; --list shows them)")
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2], metavar="N",
        help="to record (default: 0 1 2)")  # fmt: skip
    add("--data", type=name, metavar="DIR", help="folder of labelled data, for the recordings that "
        "read one")  # fmt: skip
    add("--list", action="store_true", help="show what there is to record and what is recorded, "
        "and stop")  # fmt: skip
    add("--force", action="store_true", help="record again what is recorded")
    return parser


def field_judges() -> Parser:
    """Of ``field-judges``."""
    parser = Parser(
        prog="python -m synthlib field-judges",
        description="Train the two NLI judges of real language, adapters on all-MiniLM-L6-v2, on "
        "halves of the labelled\npairs of SNLI and MultiNLI that share no premise, and measure "
        "them on pairs that are in neither.",
        epilog="An hour of one core each. Interrupted, the same command goes on.\n\n"
        "  python -m synthlib models get laptop\n"
        "  python -m synthlib field-judges --data downstream\n"
        "  python -m synthlib field-judges --data downstream --only examiner --out judges",
    )
    add = parser.add_argument
    add("--data", type=name, required=True, metavar="DIR", help="folder with nli/snli (s1.dev, "
        "s2.dev, labels.dev) and nli/mnli (a table of premise, hypothesis, label)")  # fmt: skip
    add("--out", type=path, default=paths.DATA / "field" / "judges", metavar="DIR",
        help="folder for the adapters (default: data/field/judges)")  # fmt: skip
    add("--only", nargs="+", choices=("judge", "examiner"), help="train one of them")
    add("--again", action="store_true", help="train anew what is there")
    add("--seed", type=whole, default=0)
    add("--scale", type=number, default=1.0, help="factor on the steps, at most 1")
    add("--precision", choices=("fp32", "bf16"), help="of the training (default: what is fast "
        "here)")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bars")
    return parser


def examiner() -> Parser:
    """Of ``examiner``."""
    parser = Parser(
        prog="python -m synthlib examiner",
        description="Measure an NLI model on pairs that people have labelled: those of this book "
        "and, with --data, of\nSNLI, MultiNLI (the tenth that no judge of this book has learnt "
        "from) and SICK; by label, with intervals.",
        epilog="  python -m synthlib examiner --model laptop/examiner --data downstream\n"
        "  python -m synthlib examiner --model laptop/examiner --labels outputs.csv",
    )
    add = parser.add_argument
    add("--model", type=name, default="laptop/examiner", metavar="NAME",
        help="of an NLI model: pocket or laptop name, folder (an adapter's too) or hub id "
        "(default: laptop/examiner)")  # fmt: skip
    add("--data", type=name, metavar="DIR", help="folder with nli/snli, nli/mnli, SICK in it")
    add("--labels", type=name, metavar="FILE", help="also agreement and Cohen's kappa with labels "
        "by hand: a table of premise, hypothesis, label, and perhaps method (the rule: "
        "data/field/labelling.md)")  # fmt: skip
    add("--out", type=path, metavar="FILE.csv", help="also write the first table")
    add("--batch-size", type=whole, default=64, metavar="N", help="pairs at once (default: 64)")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def compare_pocket() -> Parser:
    """Of ``compare-pocket``."""
    parser = Parser(
        prog="python -m synthlib compare-pocket",
        description="Set another training of the small models beside the committed one: the "
        "figures of chapter 2,\nmeasured with both. Nothing is trained. Models that the folder "
        "lacks are left out, and named.",
        epilog="  python -m synthlib pocket --precision fp32 --out retrained\n"
        "  python -m synthlib compare-pocket retrained",
    )
    add = parser.add_argument
    add("folder", type=path, metavar="FOLDER", help="what `pocket --out FOLDER` made")
    add("--seeds", nargs="+", type=whole, default=[0, 1, 2], metavar="N",
        help="of the premises and pairs (default: 0 1 2)")  # fmt: skip
    add("--keep", action="store_true",
        help="write the figures where chapter 2 reads them")  # fmt: skip
    return parser


def page_model() -> Parser:
    """Of ``page-model``."""
    parser = Parser(
        prog="python -m synthlib page-model",
        description="Write the pocket generators as scripts that a page can run.",
    )
    add = parser.add_argument
    add("--out", type=path, default=paths.BUILD / "models", metavar="DIR",
        help="folder, made where absent (default: _build/models)")  # fmt: skip
    add("--only", nargs="+", metavar="NAME", help="of them (default: all)")
    return parser


def questions() -> Parser:
    """Of ``questions``."""
    parser = Parser(
        prog="python -m synthlib questions",
        description="Write the book's questions, ten a chapter, for Moodle or Canvas, or as a "
        "sheet to print.\nEach has its answer, with the reason for or against every option, or a "
        "rubric.",
        epilog="  python -m synthlib questions --format gift\n"
        "  python -m synthlib questions --format qti --chapters 3 4 5 6 --out multicsr.zip\n"
        "  python -m synthlib questions --format md --chapters 3 4 --answers --out key.md",
    )
    add = parser.add_argument
    add("--format", choices=("gift", "qti", "md"), default="gift", help="gift: Moodle; qti: Canvas "
        "(a zip of QTI 1.2); md: Markdown, to print (default: gift)")  # fmt: skip
    add("--chapters", nargs="+", type=whole, metavar="N", help="(default: all)")
    add("--answers", action="store_true", help="with md: also what is right, and why")
    add("--out", type=path, metavar="FILE", help="default: questions.txt, questions.zip, "
        "questions.md")  # fmt: skip
    return parser


def grade() -> Parser:
    """Of ``grade``."""
    parser = Parser(
        prog="python -m synthlib grade",
        description="Grade a class: run submitted student notebooks, each in a kernel of its own "
        "without a network, and check\ntheir exercises with the checks of this package. One line "
        "a student, with points and messages.",
        epilog="A submission decides nothing: its functions are called with the checks' inputs, "
        "and what they give is compared\nin another process. Interrupted, the same command goes "
        "on; what is marked is kept in NAME.journal.jsonl.\n\n"
        "  python -m synthlib grade submissions --out results.csv\n"
        "  python -m synthlib grade --list > weights.csv\n"
        "  python -m synthlib grade submissions --chapter 3 --weights weights.csv --out 03.json",
    )
    add = parser.add_argument
    add("folder", nargs="?", type=path, metavar="FOLDER",
        help="with a notebook a student, or a folder a student")  # fmt: skip
    add("--out", type=path, metavar="FILE", help="a name that ends in .csv or .json")
    add("--weights", type=path, metavar="FILE.csv", help="points of the exercises: exercise,points "
        "a line (default: 1 each)")  # fmt: skip
    add("--chapter", type=whole, metavar="N", help="that was set; a notebook of another has no "
        "points (default: what each is of)")  # fmt: skip
    add("--notebooks", type=path, metavar="DIR", help="folder of the notebooks that were handed "
        "out (default: notebooks/student of the repository)")  # fmt: skip
    add("--list", action="store_true", help="print all exercises as a table of weights, and stop")
    group = parser.add_argument_group("limits")
    add = group.add_argument
    add("--jobs", type=whole, default=2, metavar="N", help="notebooks at a time (default: 2)")
    add("--seconds", type=number, default=120.0, metavar="X", help="that a cell, or an exercise, "
        "may take (default: 120)")  # fmt: skip
    add("--minutes", type=number, default=10.0, metavar="X", help="that a notebook may take "
        "(default: 10)")  # fmt: skip
    add("--memory", type=number, default=4.0, metavar="GB", help="that a notebook may take "
        "(default: 4)")  # fmt: skip
    add("--whole", action="store_true", help="run every cell, not only the student's own and what "
        "they need")  # fmt: skip
    add("--again", action="store_true", help="mark what is marked already, too")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def otter() -> Parser:
    """Of ``otter``."""
    parser = Parser(
        prog="python -m synthlib otter",
        description="Write the chapters' notebooks in the format of Otter-Grader's `otter assign`, "
        "with solutions,\npoints and tests: for courses that grade with Otter. Not for students.",
        epilog="  python -m synthlib otter --chapter 3 --out otter\n"
        "  otter assign otter/03_contrastive_generation.ipynb dist",
    )
    add = parser.add_argument
    add("--out", type=path, required=True, metavar="DIR", help="folder for the notebooks")
    add("--chapter", type=whole, metavar="N", help="of this one (default: all)")
    add("--weights", type=path, metavar="FILE.csv", help="points of the exercises: exercise,points "
        "a line (default: 1 each)")  # fmt: skip
    add("--notebooks", type=path, metavar="DIR", help="folder of the complete notebooks, with "
        "student/ in it (default: notebooks of the repository)")  # fmt: skip
    return parser
