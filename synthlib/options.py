"""What a run can be told, each option once: its default, range and words, and what it decides.

From these classes follow the command line (`commands`), the check and the tier's values
(`runs.plans`), what makes two runs the same (``run.json``), what another value makes stale, and
the docstrings of `run`. No model's library is loaded for it, so that ``--help`` answers at once.
"""

import dataclasses
import inspect
import math
import numbers
import os
import textwrap
import types
import typing
from dataclasses import dataclass
from typing import ClassVar

from synthlib import prompts, tiers

Name = str | os.PathLike  # a path, or a name from the Hub
BASE = "base"  # as the name of a teacher: the base encoder itself
NO_GAMMA = "-"  # as Table 6 prints a third rule that is left out
ADAPTIVE = "adaptive"  # as the weight ω of ranking
PROCESSES = "processes"  # as the engine: this one, or those that torchrun started
MULTICSR_STEPS = ("written", "judged", "kept", "trained", "evaluated")
RANKING_STEPS = ("written", "kept", "trained", "evaluated")


@dataclass(frozen=True)
class Range:
    """Where a finite number must lie; `says` stands behind its name where it does not."""

    says: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # the lowest value is left out
    below: bool = False  # the highest value is left out
    whole: bool = False

    def __contains__(self, value):
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            return False
        if self.whole and value % 1:
            return False
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)


COUNT = Range("must be a whole number from 1 up", 1, whole=True)
FINITE = Range("must be a finite number")
FROM_0 = Range("must be 0 or above", 0)
POSITIVE = Range("must be positive", 0, above=True)
RATE = Range("must be positive and at most 1", 0, 1, above=True)  # else nothing is learned
TEMPERATURE = Range("must be 0 (greedy) or above", 0)


@dataclass(frozen=True)
class Option:
    """An option as it is declared; name, kind, default and source are filled in by `declared`.

    Attributes
    ----------
    help : str
        Of the command line and the docstring.
    metavar : str, optional
        With choices and no metavar, the command line itself refuses others.
    group : str, optional
        The heading under which this option and those behind it stand.
    flags : tuple of str
        Where they are not ``--name``.
    choices, words : tuple of str
        The values there are; words that a number may be, too.
    range : Range, optional
    step : str, optional
        The step from which on a run is another when this changes; None: from the start.
    identity : bool
        Whether it decides the run; else it says how the run works, or stands there otherwise.
    more : str
        What a caller from Python wants to know besides.
    setting : str, optional
        Of the tier's settings, which it replaces.
    """

    help: str
    metavar: str | None = None
    group: str | None = None
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    range: Range | None = None
    step: str | None = None
    identity: bool = True
    more: str = ""
    setting: str | None = None
    name: str = ""
    kind: object = str
    default: object = None
    source: str = ""


def option(help, metavar=None, *, default=None, **more):
    """A field of a run's options, described by an `Option`."""
    described = Option(help, metavar, **more)
    return dataclasses.field(default=default, metadata={"option": described})


def _of_tier(help, metavar=None, *, setting="", **more):
    """An option in place of a tier's setting, of its own name ("") where no other is given."""
    return option(help, metavar, setting=setting, **more)


def declared(run) -> dict[str, Option]:
    """The options of a run's class by their names, in the order of the command line."""
    sources = {
        field.name: field.metadata["source"] for field in dataclasses.fields(run.tier_settings)
    }
    found = {}
    last = Elsewhere.__annotations__
    for field in sorted(dataclasses.fields(run), key=lambda field: field.name in last):
        if (one := field.metadata.get("option")) is None:
            continue
        setting = field.name if one.setting == "" else one.setting
        found[field.name] = dataclasses.replace(
            one, name=field.name, kind=_kind(field.type), default=field.default, setting=setting,
            source=sources.get(setting, ""),
        )  # fmt: skip
    return found


def _kind(annotated):
    """What is left of a type without None: of ``int | None`` it is int."""
    left = [one for one in typing.get_args(annotated) if one is not types.NoneType]
    if isinstance(annotated, types.UnionType) and left:
        return Name if os.PathLike in left else left[0]
    return annotated


def steps_of(run) -> dict[str, str]:
    """What stands in ``run.json`` to the step from which on another value makes another run."""
    steps = {one.setting or name: one.step for name, one in declared(run).items() if one.step}
    return steps | {name: step for step, names in run.unlisted.items() for name in names}


def taken(run):
    """A decorator for a function that takes a run's options as ``**given``: it shows each of them.

    They stand in its signature, and in its docstring where that says ``{options}``, behind `out`
    and `quiet`.
    """

    def show(function):
        own = inspect.signature(function)
        first = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = inspect.signature(run).parameters
        more = [more[name] for name in declared(run)]
        function.__signature__ = own.replace(parameters=[*first, *more])
        if function.__doc__:  # none with python -OO
            text = textwrap.indent(_described(run), "    ").lstrip()
            function.__doc__ = function.__doc__.replace("{options}", text)
        return function

    return show


def _described(run) -> str:
    """The parameters of a run for its docstring."""
    lines = ["out : path", "    Folder of the run.", "quiet : bool"]
    lines.append("    No progress bars and no report.")
    for name, one in declared(run).items():
        kind = "sequence" if typing.get_origin(one.kind) is tuple else one.kind
        kind = "str or path" if kind == Name else getattr(kind, "__name__", kind)
        if one.choices:
            kind = ", ".join(f'"{word}"' for word in one.choices)
        kind = " or ".join([kind, *(f'"{word}"' for word in one.words)])
        default = "the tier's" if one.setting else repr(one.default)
        about = [f"{one.help[0].upper()}{one.help[1:]}.", one.more]
        if one.range:
            about.append(f"{one.range.says.capitalize()}.")
        if one.source:
            about.append(f"Source: {one.source}.")
        about = textwrap.fill(" ".join(filter(None, about)), 92)
        lines += [f"{name} : {kind}, default {default}", textwrap.indent(about, "    ")]
    return "\n".join(lines)


# ------------------------------------------------------------------ what the runs share
@dataclass(frozen=True, kw_only=True)
class Run:
    """What every run can be told."""

    tier_settings: ClassVar[type]  # whose values an option may replace
    unlisted: ClassVar[dict] = {}  # step to what stands in run.json and is no option

    tier: str | None = option(
        "values for all that is not given (default: pocket, or what SYNTHLIB_TIER says)",
        choices=tiers.NAMES,
    )
    seed: int = option(
        "of everything drawn", default=0,
        range=Range(f"must lie between 0 and {2**31 - 1}", 0, 2**31 - 1, whole=True),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Run):
    """Which machines make the shards, and what a model behind an API is told: shown last."""

    engine: str = option(
        "who writes and judges: this process (with torchrun those beside it), or the actors of a "
        "Ray cluster, which may lose machines and gain some; training, and ART's PPO, stay here. "
        "Another engine is no other run",
        group="several machines", default=PROCESSES, choices=(PROCESSES, "ray"), identity=False,
        more="Ray is in the extra `synthlib[scale]`.",
    )  # fmt: skip
    address: str | None = option(
        "of the Ray cluster, or auto for the one of this machine (default: this machine alone, "
        "for the time of the run)",
        "HOST:PORT", identity=False,
    )  # fmt: skip
    actors: int | None = option(
        "of Ray at most, each with the models (default: one a GPU, where there is none one a core)",
        range=COUNT, identity=False,
    )  # fmt: skip

    base_url: str | None = option(
        "address of its endpoint, which the sentences are sent to (default: OPENAI_BASE_URL, else "
        "OpenAI's)",
        "URL", group="a model behind an API (api:NAME)", identity=False,
        more="Its host is part of the run.",
    )  # fmt: skip
    key_variable: str = option(
        "of the environment, which holds the key; no file, message or option does",
        default="OPENAI_API_KEY", identity=False,
    )  # fmt: skip
    parallel: int = option("requests at a time", default=8, range=COUNT, identity=False)
    timeout: float = option(
        "seconds until an attempt counts as failed, and is made again", default=120.0,
        range=POSITIVE, identity=False,
    )  # fmt: skip
    price_in: float | None = option(
        "of a million tokens that are sent", range=FROM_0, identity=False
    )
    price_out: float | None = option(
        "of a million tokens that are written", range=FROM_0, identity=False
    )
    budget: float | None = option(
        "most that the run may cost, in the prices' currency, in tokens where none are given; the "
        "same command with a larger one goes on",
        range=POSITIVE, identity=False,
    )  # fmt: skip


def _premises(group):
    return option(
        "text file (a sentence a line), CSV, TSV, JSON, JSON Lines, Parquet or Arrow file, folder "
        "of such, name of a data set, or pocket (default: the tier's corpus)",
        "SOURCE", group=group, identity=False,
        more="Sentences in memory too, as `data.load_premises` takes them.",
    )  # fmt: skip


def _column():
    return option("of a table or data set with several text columns")


def _max_new_tokens(what):
    return _of_tier(f"longest {what}", range=COUNT)


def _form():
    return _of_tier(
        "how the generator is asked (default: the tier's for its own generator, else what its "
        "tokenizer says: chat where that has a template)",
        choices=prompts.ALL_FORMS, more="See `prompts.form_of`.",
    )  # fmt: skip


def _shots():
    return _of_tier(
        "worked examples in a prompt, out of data/field and by the seed (default: the tier's for "
        "its own generator, else 4 in the form examples and none in chat; the other forms have "
        "none)",
        range=Range("must be a whole number from 0 up", 0, whole=True),
    )  # fmt: skip


def _register():
    return _of_tier(
        f"worked examples of one register alone: {', '.join(prompts.REGISTERS)}",
        "NAME", choices=prompts.REGISTERS,
    )  # fmt: skip


def _generation_batch(rows):
    return option(
        f"{rows} that the generator works on at once; another number is no other run",
        default=64, range=COUNT, identity=False,
    )  # fmt: skip


def _shard_size(unit):
    return _of_tier(f"{unit} in a shard, what an interruption can lose", range=COUNT)


def _tau(what):
    return _of_tier(
        f"temperature of the contrast between {what}", "τ", range=POSITIVE, step="trained"
    )


def _precision():
    return option(
        "of training: fp32, bf16 or fp16 (default: what is fast here)", step="trained"
    )


def _select(more):
    return option(
        "keep the weights that are best on the development pairs, or the last",
        choices=("dev", "last"), step="trained", more=more,
    )  # fmt: skip


def _data(group=None):
    return option(
        "SentEval's downstream folder (default: STS-B from the Hub; for pocket models the pocket "
        "sets)",
        "DIR", group=group, step="evaluated",
        more="On the pocket world's premises, too, the pocket sets evaluate.",
    )  # fmt: skip


def _device():
    return option("cuda, mps or cpu (default: the best there is)", identity=False)


def _dtype():
    return option("of the generator: float32, bfloat16 or float16")


# ------------------------------------------------------------------ multicsr
@dataclass(frozen=True, kw_only=True)
class MultiCSR(Elsewhere):
    """Of `runs.multicsr`."""

    tier_settings: ClassVar = tiers.MultiCSR
    unlisted: ClassVar = {
        "kept": ("thresholds",),
        "trained": ("max_length", "projection", "eval_steps", "nli_rows", "bf16"),
    }

    stages: tuple[int, ...] | None = option(
        "the paper's stages that take part, or none: without 1 plain decoding, without 2 all "
        "triplets, without 3 no mask",
        "1,2,3", more="Default all; 2 and 3 with `no_logits` (MultiCSR Table 3).",
    )  # fmt: skip
    until: str = option(
        "stop after written, judged, kept or trained; without it the run goes on",
        "STEP", default="evaluated", choices=MULTICSR_STEPS, identity=False,
    )  # fmt: skip

    premises: Name | None = _premises("where from")
    column: str | None = _column()
    n: int | None = option(
        "so many premises, drawn with the seed; a batch size that is not given is made to fit",
        flags=("--sentences", "--n"), range=COUNT,
    )  # fmt: skip
    language: str = option(
        "of the pocket world's premises", default="english", choices=("english", "tavi")
    )
    no_logits: Name | None = option(
        "triplets from a model behind an API, with or without scores a, b, in place of stage 1 "
        "(CSV, TSV, JSON, Parquet too)",
        "FILE.jsonl", more="Where it gives scores, stage 2 only compares them.",
    )  # fmt: skip
    supervised: bool = option(
        "train on a labelled NLI corpus as well", default=False, step="trained",
        more="That is T ∪ NLI (MultiCSR Appendix G).",
    )  # fmt: skip
    nli: Name | None = option(
        "that corpus, a table in any of these formats with anchor, positive, negative, or SimCSE's "
        "sent0, sent1, hard_neg (default: the tier's)",
        "FILE", step="trained", more="Demonstrations are taken from it too.",
    )  # fmt: skip

    generator: Name | None = _of_tier(
        "pocket name, folder, hub id, or api:NAME of a model behind an API",
        group="stage 1, generation",
    )
    form: str | None = _form()
    shots: int | None = _shots()
    register: str | None = _register()
    omega: float | None = _of_tier("weight of the noisy instruction", "ω", range=FINITE)
    noise: str = option("kind of noisy instruction", default="opposite", choices=prompts.NOISE)
    temperature: float = option(
        "above 0: sampled, with the seed; 0: greedy", "T", default=0.0, range=TEMPERATURE
    )
    max_new_tokens: int | None = _max_new_tokens("text")
    demonstrations: int | None = _of_tier(
        "worked examples before each premise", "L", range=Range("must be at least 0", 0)
    )
    demonstration_similarity: float | None = _of_tier(
        "least cosine of an example", "λ", range=Range("is a cosine in [-1, 1]", -1, 1)
    )
    generation_batch: int = _generation_batch("rows")
    shard_size: int | None = _shard_size("premises")

    scoring: str | None = _of_tier(
        "how the generator's score is read, or nli: an NLI model judges in its place",
        group="stage 2, selection", choices=("text", "expected", "likelihood", "nli"),
        step="judged",
    )  # fmt: skip
    judge: Name | None = _of_tier(
        "that NLI model, or api:NAME, for the scoring nli alone", step="judged"
    )
    alpha: float | None = _of_tier("least score of a positive", "α", step="kept")
    beta: float | None = _of_tier("greatest score of a negative", "β", step="kept")
    gamma: float | None = _of_tier(
        f"least margin between them; {NO_GAMMA} leaves this rule out", "γ", step="kept",
        words=(NO_GAMMA,),
    )  # fmt: skip

    encoder: Name | None = _of_tier(
        "pocket name, folder or hub id of what is trained", group="stage 3 and training",
        step="trained",
    )  # fmt: skip
    pooling: str | None = option("cls, mean, …", step="trained", more="Of the encoder.")
    backbone: str = option(
        "prompt: PromptBERT's template; rank: rank distillation from the guide",
        default="simcse", choices=("simcse", "prompt", "rank"), step="trained",
    )  # fmt: skip
    guide: Name | None = _of_tier("the frozen encoder that finds false negatives", step="trained")
    sigma: float | None = _of_tier(
        "cosine from which a negative is masked", "σ", step="trained",
        range=Range("must lie in (0, 1]", 0, 1, above=True),
    )  # fmt: skip
    tau: float | None = _tau("triplets")
    batch_size: int | None = _of_tier(
        "triplets that contrast with each other", step="trained",
        range=Range("must be at least 2", 2),
    )  # fmt: skip
    learning_rate: float | None = _of_tier("of the training", range=RATE, step="trained")
    epochs: float | None = _of_tier(
        "passes over the triplets", range=POSITIVE, step="trained",
        more="Not beside max_steps.",
    )  # fmt: skip
    max_steps: int | None = _of_tier(
        "steps of the training, in place of epochs", range=COUNT, step="trained"
    )
    precision: str | None = _precision()
    select: str | None = _select(
        'Default "dev" on all tiers but pocket (STS-B dev; where the pocket sets evaluate, the '
        "natural development pairs), unless STS-B dev is absent from `data`."
    )

    data: Name | None = _data("evaluation and machine")
    device: str | None = _device()
    dtype: str | None = _dtype()


# ------------------------------------------------------------------ ranking
@dataclass(frozen=True, kw_only=True)
class Ranking(Elsewhere):
    """Of `runs.ranking`."""

    tier_settings: ClassVar = tiers.Ranking
    unlisted: ClassVar = {"trained": ("max_length", "bf16")}

    base: Name | None = _of_tier(
        "pocket name, folder or hub id of what is post-trained", "ENCODER", setting="encoder"
    )
    pooling: str | None = option("of a base that does not carry its own: cls, mean, …")
    until: str = option(
        "stop after written, kept or trained; without it the run goes on",
        "STEP", default="evaluated", choices=RANKING_STEPS, identity=False,
    )  # fmt: skip

    premises: Name | None = _premises("anchors")
    column: str | None = _column()
    n: int | None = option(
        "so many of them, drawn with the seed; clusters that are not given are made to fit",
        flags=("--sentences",), range=COUNT,
    )  # fmt: skip
    anchors: int | None = option("so many, drawn by k-means", range=COUNT)
    clusters: int | None = _of_tier("from so many clusters", range=COUNT)

    lists: Name | None = option(
        "JSON Lines or Parquet file with anchor, sentences, in place of writing lists",
        "FILE", group="lists", identity=False,
        more="They may differ in length, so completeness is not asked of them.",
    )  # fmt: skip
    generator: Name | None = _of_tier(
        "pocket name, folder, hub id, or api:NAME of a model behind an API"
    )
    form: str | None = _form()
    shots: int | None = _shots()
    register: str | None = _register()
    method: str = option(
        "directional, step (step by step, without direction) or at_once (the whole list)",
        "NAME", default="directional", choices=("directional", "step", "at_once"),
    )  # fmt: skip
    steps: int | None = _of_tier("sentences after the anchor", range=COUNT)
    lam: float | None = _of_tier("strength of the direction", "λ", range=FINITE)
    temperature: float | None = _of_tier("above 0: sampled, with the seed", "T", range=TEMPERATURE)
    max_new_tokens: int | None = _max_new_tokens("sentence")
    generation_batch: int = _generation_batch("lists")
    shard_size: int | None = _shard_size("lists")

    teacher: Name | None = _of_tier(
        f"the frozen encoder of the similarities φ, or {BASE}: the base itself, where no better "
        "one is at hand",
        group="target", step="compared",
        more="A teacher that is weaker than the base pulls it down.",
    )  # fmt: skip
    omega: float | None = _of_tier(
        f"weight of the order of the list, or {ADAPTIVE}: one for each row, from how far teacher "
        "and list agree",
        "ω", words=(ADAPTIVE,), step="trained",
        range=Range(f'is a weight, at least 0, or "{ADAPTIVE}"', 0),
    )  # fmt: skip
    mode: str = option(
        "full; rank: the order alone; semantic: the teacher alone",
        "NAME", default="full", choices=("full", "rank", "semantic"), step="kept",
    )  # fmt: skip
    variant: str = option(
        "of Algorithm 1: paper, printed or released",
        "NAME", default="paper", choices=("paper", "printed", "released"), step="trained",
    )  # fmt: skip
    scale: float = option(
        "factor on the teacher's cosines; as released: 20", default=1.0, range=POSITIVE,
        step="compared",
    )  # fmt: skip

    learning_rate: float | None = _of_tier(
        "of the training", group="post-training", range=RATE, step="trained"
    )
    lists_per_step: int | None = _of_tier(
        "lists of a step of the training", range=COUNT, step="trained"
    )
    tau: float | None = _tau("the sentences of a list")
    epochs: float | None = _of_tier("passes over the lists", range=POSITIVE, step="trained")
    eval_steps: int | None = _of_tier(
        "steps between looks at the development pairs", range=COUNT, step="trained"
    )
    precision: str | None = _precision()
    select: str | None = _select(
        "These are the mean of STS-B and SICK-R where `data` is given, else STS-B from the Hub or "
        'the pocket world\'s natural pairs. Default "dev" wherever there are such pairs.'
    )

    data: Name | None = _data("evaluation and machine")
    device: str | None = _device()
    dtype: str | None = _dtype()
    rerank: Name | None = option(
        "CSV file of question, label, candidate, or a folder of such (default for pocket models: "
        "the pocket sets)",
        "FILE", step="evaluated", more="Else nothing is reranked.",
    )  # fmt: skip


# ------------------------------------------------------------------ art
@dataclass(frozen=True, kw_only=True)
class ART(Elsewhere):
    """Of `runs.art`."""

    tier_settings: ClassVar = tiers.ART
    unlisted: ClassVar = {"trained": ("bf16",)}

    rounds: int | None = _of_tier("rounds of tuning, writing and training", range=COUNT)
    until: int | None = option(
        "stop after so many of them; without it the run goes on", identity=False,
        more="Then the control is left for a later call.",
    )  # fmt: skip
    control: bool = option(
        "leave out the untuned generator's data through the same filter",
        default=True, flags=("--no-control",),
        more="That is what False does.",
    )  # fmt: skip

    premises: Name | None = _premises("where from")
    column: str | None = _column()
    n: int | None = option(
        "so many of them, drawn with the seed; anchors, steps and batches that are not given are "
        "made to fit",
        flags=("--sentences",), range=COUNT,
    )  # fmt: skip
    generator: Name | None = _of_tier("pocket name, folder or hub id of what is tuned")
    form: str | None = _form()
    shots: int | None = _shots()
    register: str | None = _register()
    discriminator: Name | None = _of_tier(
        "of an NLI model, the judge of correctness, or api:NAME of a model behind an API"
    )
    encoder: Name | None = _of_tier("of the sentence encoder that is to be improved")
    pooling: str | None = option("of an encoder that does not carry its own: cls, mean, …")

    lower_bound: float | None = _of_tier(
        "least probability of the asked-for label", "Ω", group="reward",
        range=Range("must lie in [0, 1]", 0, 1),
        more="A bound that neither the call nor the tier gives is chosen at the start of each "
        "round by the rule of `rewards.choose_bounds`.",
    )  # fmt: skip
    positive_bound: float | None = _of_tier(
        "least similarity of a positive", "α⁺", range=Range("must lie in [-1, 1]", -1, 1)
    )
    negative_bound: float | None = _of_tier(
        "greatest similarity of a hard negative", "α⁻", range=Range("must lie in [-1, 1]", -1, 1)
    )
    quantile: float = option(
        "of the rule that chooses the bounds that nobody gives", default=0.05,
        range=Range("must lie in (0, 0.5)", 0, 0.5, above=True, below=True),
    )  # fmt: skip
    w1: float | None = _of_tier("weight of correctness", range=FROM_0)
    w2: float | None = _of_tier("weight of difficulty", range=FROM_0)

    ppo_steps: int | None = _of_tier("steps of a round", group="tuning", range=COUNT)
    ppo_batch_size: int | None = _of_tier("answers of a step", range=COUNT)
    ppo_mini_batch_size: int | None = _of_tier("answers of an update", range=COUNT)
    ppo_epochs: int | None = _of_tier("passes over a step's answers", range=COUNT)
    targets: tuple[str, ...] | None = _of_tier(
        "layers that LoRA adapts, by name (q_proj v_proj …), or all-linear (default: the tier's)",
        "LAYER", setting="lora_targets",
    )  # fmt: skip
    learning_rate: float | None = _of_tier("of the tuning", range=RATE)
    kl: float | None = _of_tier("coefficient of the KL penalty", "β", range=FROM_0)

    anchors: int | None = _of_tier(
        "sentences that a round writes triplets from", group="writing", range=COUNT,
        more="Every round has its own; the sentences that PPO asks are others, where there are "
        "enough.",
    )  # fmt: skip
    candidates: int = option("of each kind for an anchor", default=3, range=COUNT, step="written")
    temperature: float | None = _of_tier("of the writing", "T", range=POSITIVE, step="written")
    max_new_tokens: int | None = _max_new_tokens("text")
    generation_batch: int = _generation_batch("texts")
    shard_size: int | None = _shard_size("anchors")

    start: str = option(
        "train the last round's encoder on this round's triplets, or the first one on all so far",
        group="training and evaluation", flags=("--train-from", "--start"), default="last",
        choices=("last", "first"), step="trained",
    )  # fmt: skip
    encoder_epochs: float | None = _of_tier(
        "passes over the triplets", range=POSITIVE, step="trained"
    )
    encoder_learning_rate: float | None = _of_tier(
        "of the encoder's training", range=RATE, step="trained"
    )
    encoder_batch_size: int | None = _of_tier(
        "triplets that contrast", range=COUNT, step="trained"
    )
    tau: float | None = _tau("triplets")
    precision: str | None = _precision()
    data: Name | None = _data()
    device: str | None = _device()
    dtype: str | None = _dtype()
