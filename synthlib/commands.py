"""The options of every command, as parsers that are made without loading a model's library.

So that ``--help`` and a mistyped option answer at once. Values are checked where they are used;
a run's choices are therefore named in the help and not repeated here.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import sys
import warnings
from pathlib import Path

from synthlib import paths, prompts, tiers


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


# ------------------------------------------------------------------ what the runs share
def _run(method, description, examples, least):
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
    add("--tier", choices=tiers.NAMES, help="values for all that is not given (default: pocket, "
        "or what SYNTHLIB_TIER says)")  # fmt: skip
    add("--seed", type=whole, default=0, metavar="N", help="of everything drawn (default: 0)")
    add("--quiet", action="store_true", help="no progress bars, no report")
    return parser


def _sentences(add):
    add("--premises", type=name, metavar="SOURCE",
        help="text file (a sentence a line), CSV, TSV, JSON, JSON "
        "Lines, Parquet or Arrow file, folder of such, name of a data set, or pocket (default: the "
        "tier's corpus)")  # fmt: skip
    add("--column", metavar="NAME", help="of a table or data set with several text columns")


def _shards(add, rows, unit, size):
    add("--generation-batch", type=whole, default=64, metavar="N",
        help=f"{rows} that the generator works on at once; another number is no other run "
        "(default: 64)")  # fmt: skip
    add("--shard-size", type=whole, default=size, metavar="N",
        help=f"{unit} in a shard, what an interruption can lose (default: {size})")  # fmt: skip


def _training(add, select=True):
    add("--precision", metavar="NAME",
        help="of training: fp32, bf16 or fp16 (default: what is fast here)")  # fmt: skip
    if select:
        add("--select", choices=("dev", "last"), help="keep the weights that are best on the "
            "development pairs, or the last")  # fmt: skip


def _machine(add):
    add("--data", type=name, metavar="DIR",
        help="SentEval's downstream folder (default: STS-B from the Hub; "
        "for pocket models the pocket sets)")  # fmt: skip
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--dtype", help="of the generator: float32, bfloat16 or float16")


def _each_tier(say) -> str:
    return ", ".join(f"{name} {say(tiers.get(name)):,}" for name in tiers.NAMES)


# ------------------------------------------------------------------ multicsr
def multicsr() -> Parser:
    """Of ``run multicsr``."""
    parser = _run(
        "multicsr",
        "MultiCSR from premises to an evaluated encoder.",
        "  python -m synthlib run multicsr --out runs/first\n"
        "  python -m synthlib run multicsr --tier colab --premises mine.txt --out runs/mine\n"
        "  python -m synthlib run multicsr --no-logits answers.jsonl --encoder BERT --pooling cls "
        "\\\n      --data downstream --out runs/api\n"
        "  torchrun --nproc_per_node 4 -m synthlib run multicsr --tier paper --out runs/paper",
        "least number of triplets that must be kept, a batch: "
        f"{_each_tier(lambda tier: tier.multicsr.batch_size)};\nwith fewer premises give "
        "--sentences N, and the batch is made to fit.",
    )
    add = parser.add_argument
    add("--stages", type=_stages, metavar="1,2,3", help="the paper's stages that take part, or "
        "none: without 1 plain decoding, without 2 all triplets, without 3 no mask")  # fmt: skip
    add("--until", default="evaluated", metavar="STEP",
        help="stop after written, judged, kept or trained; without it the run goes on")  # fmt: skip

    add = parser.add_argument_group("where from").add_argument
    _sentences(add)
    add("--sentences", "--n", dest="n", type=whole, metavar="N",
        help="so many premises, drawn with the seed; a batch size that is not given is made to "
        "fit")  # fmt: skip
    add("--language", choices=("english", "tavi"), default="english",
        help="of the pocket world's premises")  # fmt: skip
    add("--no-logits", type=name, metavar="FILE.jsonl",
        help="triplets from a model behind an API, with or "
        "without scores a, b, in place of stage 1 (CSV, TSV, JSON, Parquet too)")  # fmt: skip
    add("--supervised", action="store_true", help="train on a labelled NLI corpus as well")
    add("--nli", type=name, metavar="FILE",
        help="that corpus, a table in any of these formats with anchor, "
        "positive, negative, or SimCSE's sent0, sent1, hard_neg (default: the tier's)")  # fmt: skip

    add = parser.add_argument_group("stage 1, generation").add_argument
    add("--generator", type=name, metavar="NAME", help="pocket name, folder or hub id")
    add("--omega", type=number, metavar="ω", help="weight of the noisy instruction")
    add("--noise", choices=prompts.NOISE, default="opposite", help="kind of noisy instruction")
    add("--temperature", type=number, default=0.0, metavar="T",
        help="above 0: sampled, with the seed (default: 0, greedy)")  # fmt: skip
    add("--max-new-tokens", type=whole, metavar="N", help="longest text")
    add("--demonstrations", type=whole, metavar="L", help="worked examples before each premise")
    add("--demonstration-similarity", type=number, metavar="λ", help="least cosine of an example")
    _shards(add, "rows", "premises", 512)

    add = parser.add_argument_group("stage 2, selection").add_argument
    add("--scoring", choices=("text", "expected"), help="how the generator's score is read")
    add("--alpha", type=number, metavar="α", help="least score of a positive")
    add("--beta", type=number, metavar="β", help="greatest score of a negative")
    add("--gamma", type=_gamma, metavar="γ", help="least margin between them; - leaves this rule "
        "out")  # fmt: skip

    add = parser.add_argument_group("stage 3 and training").add_argument
    add("--encoder", type=name, metavar="NAME",
        help="pocket name, folder or hub id of what is trained")  # fmt: skip
    add("--pooling", metavar="NAME", help="cls, mean, …")
    add("--backbone", choices=("simcse", "prompt", "rank"), default="simcse",
        help="prompt: PromptBERT's template; rank: rank distillation from the guide")  # fmt: skip
    add("--guide", type=name, metavar="NAME", help="the frozen encoder that finds false negatives")
    add("--sigma", type=number, metavar="σ", help="cosine from which a negative is masked")
    add("--batch-size", type=whole, metavar="N", help="triplets that contrast with each other")
    add("--learning-rate", type=number, metavar="X")
    add("--epochs", type=number, metavar="X")
    add("--max-steps", type=whole, metavar="N")
    _training(add)
    _machine(parser.add_argument_group("evaluation and machine").add_argument)
    return parser


def _stages(text) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"numbers with commas, such as 1,2,3, or none, got {text!r}"
        ) from None


def _gamma(text):
    return text if text == "-" else number(text, "a number or -")


# ------------------------------------------------------------------ ranking
def ranking() -> Parser:
    """Of ``run ranking``."""
    parser = _run(
        "ranking",
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
    add = parser.add_argument
    add("--base", type=name, metavar="ENCODER",
        help="pocket name, folder or hub id of what is post-trained")  # fmt: skip
    add("--pooling", metavar="NAME", help="of a base that does not carry its own: cls, mean, …")
    add("--until", default="evaluated", metavar="STEP",
        help="stop after written, kept or trained; without it the run goes on")  # fmt: skip

    add = parser.add_argument_group("anchors").add_argument
    _sentences(add)
    add("--sentences", dest="n", type=whole, metavar="N", help="so many of them, drawn with the "
        "seed; clusters that are not given are made to fit")  # fmt: skip
    add("--anchors", type=whole, metavar="N", help="so many, drawn by k-means")
    add("--clusters", type=whole, metavar="N", help="from so many clusters")

    add = parser.add_argument_group("lists").add_argument
    add("--lists", type=name, metavar="FILE",
        help="JSON Lines or Parquet file with anchor, sentences, in "
        "place of writing lists")  # fmt: skip
    add("--generator", type=name, metavar="NAME", help="pocket name, folder or hub id")
    add("--method", default="directional", metavar="NAME",
        help="directional, step (step by step, without direction) or at_once (the whole list)"
        )  # fmt: skip
    add("--steps", type=whole, metavar="N", help="sentences after the anchor")
    add("--lam", type=number, metavar="λ", help="strength of the direction")
    add("--temperature", type=number, metavar="T", help="above 0: sampled, with the seed")
    add("--max-new-tokens", type=whole, metavar="N", help="longest sentence")
    _shards(add, "lists", "lists", 64)

    add = parser.add_argument_group("target").add_argument
    add("--teacher", type=name, metavar="NAME",
        help="the frozen encoder of the similarities φ, or base: "
        "the base itself, where no better one is at hand")  # fmt: skip
    add("--omega", type=_omega, metavar="ω", help="weight of the order of the list, or adaptive: "
        "one for each row, from how far teacher and list agree")  # fmt: skip
    add("--mode", default="full", metavar="NAME",
        help="full; rank: the order alone; semantic: the teacher alone")  # fmt: skip
    add("--variant", default="paper", metavar="NAME",
        help="of Algorithm 1: paper (default), printed or released")  # fmt: skip
    add("--scale", type=number, default=1.0, metavar="X",
        help="factor on the teacher's cosines (default: 1; as released: 20)")  # fmt: skip

    add = parser.add_argument_group("post-training").add_argument
    add("--learning-rate", type=number, metavar="X")
    add("--lists-per-step", type=whole, metavar="N")
    add("--epochs", type=number, metavar="X")
    add("--eval-steps", type=whole, metavar="N",
        help="steps between looks at the development pairs")  # fmt: skip
    _training(add)
    add = parser.add_argument_group("evaluation and machine").add_argument
    _machine(add)
    add("--rerank", type=name, metavar="FILE",
        help="CSV file of question, label, candidate, or a folder of "
        "such (default for pocket models: the pocket sets)")  # fmt: skip
    return parser


def _omega(text):
    return text if text == "adaptive" else number(text, "a number or adaptive")


# ------------------------------------------------------------------ art
def art() -> Parser:
    """Of ``run art``."""
    parser = _run(
        "art",
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
    add = parser.add_argument
    add("--rounds", type=whole, metavar="N", help="rounds of tuning, writing and training")
    add("--until", type=whole, metavar="N", help="stop after so many of them; without it the run "
        "goes on")  # fmt: skip
    add("--no-control", dest="control", action="store_false",
        help="leave out the untuned generator's data through the same filter")  # fmt: skip

    add = parser.add_argument_group("where from").add_argument
    _sentences(add)
    add("--sentences", dest="n", type=whole, metavar="N", help="so many of them, drawn with the "
        "seed; anchors, steps and batches that are not given are made to fit")  # fmt: skip
    add("--generator", type=name, metavar="NAME",
        help="pocket name, folder or hub id of what is tuned")  # fmt: skip
    add("--discriminator", type=name, metavar="NAME",
        help="of an NLI model, the judge of correctness")  # fmt: skip
    add("--encoder", type=name, metavar="NAME",
        help="of the sentence encoder that is to be improved")  # fmt: skip
    add("--pooling", metavar="NAME", help="of an encoder that does not carry its own: cls, mean, …")

    add = parser.add_argument_group("reward").add_argument
    add("--lower-bound", type=number, metavar="Ω", help="least probability of the asked-for label")
    add("--positive-bound", type=number, metavar="α⁺", help="least similarity of a positive")
    add("--negative-bound", type=number, metavar="α⁻",
        help="greatest similarity of a hard negative")  # fmt: skip
    add("--quantile", type=number, default=0.05, metavar="X", help="of the rule that chooses the "
        "bounds that nobody gives (default: 0.05)")  # fmt: skip
    add("--w1", type=number, metavar="X", help="weight of correctness")
    add("--w2", type=number, metavar="X", help="weight of difficulty")

    add = parser.add_argument_group("tuning").add_argument
    add("--ppo-steps", type=whole, metavar="N", help="steps of a round")
    add("--ppo-batch-size", type=whole, metavar="N", help="answers of a step")
    add("--ppo-mini-batch-size", type=whole, metavar="N", help="answers of an update")
    add("--ppo-epochs", type=whole, metavar="N", help="passes over a step's answers")
    add("--targets", nargs="+", metavar="LAYER", help="layers that LoRA adapts, by name (q_proj "
        "v_proj …), or all-linear (default: the tier's)")  # fmt: skip
    add("--learning-rate", type=number, metavar="X")
    add("--kl", type=number, metavar="β", help="coefficient of the KL penalty")

    add = parser.add_argument_group("writing").add_argument
    add("--anchors", type=whole, metavar="N", help="sentences that a round writes triplets from")
    add("--candidates", type=whole, default=3, metavar="N", help="of each kind for an anchor "
        "(default: 3)")  # fmt: skip
    add("--temperature", type=number, metavar="T")
    add("--max-new-tokens", type=whole, metavar="N", help="longest text")
    _shards(add, "texts", "anchors", 256)

    add = parser.add_argument_group("training and evaluation").add_argument
    add("--train-from", "--start", dest="start", choices=("last", "first"), default="last",
        help="train the last round's encoder on this round's triplets, or the first one on all so "
        "far (default: last)")  # fmt: skip
    add("--encoder-epochs", type=number, metavar="X")
    add("--encoder-learning-rate", type=number, metavar="X")
    add("--encoder-batch-size", type=whole, metavar="N", help="triplets that contrast")
    _training(add, select=False)
    _machine(add)
    return parser


# ------------------------------------------------------------------ the others
def figures() -> Parser:
    """Of ``figures``."""
    parser = Parser(
        prog="python -m synthlib figures",
        description="Write the book's figures with their data: CSV, description (JSON), a page "
        "that is alive by itself (HTML), PNG, SVG, text alternative and caption.",
        epilog="The chapters are run (about half an hour together on two cores), or read from the "
        "book's build where that is current. Interrupted, the same command goes on.",
        formatter_class=argparse.HelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=name, metavar="DIR", help="folder for the files")
    add("--only", action="append", default=[], metavar="NAME",
        help="a label (fig-03-omega) or a chapter (03); may be repeated")  # fmt: skip
    add("--list", action="store_true", help="show the figures' labels and stop")
    add("--notebooks", type=name, metavar="DIR", help="folder of the chapters' notebooks")
    return parser


def ledger() -> Parser:
    """Of ``ledger``."""
    parser = Parser(
        prog="python -m synthlib ledger",
        description="Measure the claims of the replication ledger over several seeds, or see "
        "whether what was measured before still comes out the same.",
        epilog="A record is fresh when the code and the weights that its measuring function "
        "reaches are those of today,\nverified when one seed of it came out the same to the last "
        "digit with them, else of older code.\nComments, formatting and moves between files make "
        "nothing older. Interrupted, the same command goes on.\n\n"
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
