"""Adaptive reinforcement tuning, one function a stage (ART; Xu et al., 2024, § 3).

A round of the method:

1. `tune`: PPO makes the generator write what the discriminator believes and the current encoder
   finds hard (§ 3.2); `choose_bounds` sets Ω, α⁺ and α⁻ first, `tune_with_trl` is the substitute.
2. `write`: several candidates of each kind for fresh anchors; `judge` lets the discriminator say
   which are right, `select` takes one pair an anchor (§ 3.3).
3. `train`: the encoder goes on from where it is, on these triplets (Eq. 5).
4. The new encoder is the difficulty judge of the next round.

**Which reference.** The policy's adapter goes on from round to round, and the reference of every
round is the model with the adapter off: "the frozen LLM before fine-tuning" (§ 3.2.1). So the KL
penalty counts how far a generator has gone from the language it started with, over all rounds
together. Merging each round's adapter into its reference would forgive every round's drift, and
would need the merged weights kept beside the adapter.

**Which encoder.** Each round's encoder goes on from the last one, on that round's triplets alone:
§ 3.3 "further trains" it, and the bounds and the rewards of a round are those of the encoder that
will read its triplets. ``start="first"`` in `runs.art.run` is the opposite, for comparison: the
first encoder on the triplets of all rounds so far.

**Which value head.** Each round's PPO is a training of its own, with a new optimizer and a value
head that begins at zero. The paper has no word on it, and the released code runs its one pass in a
process of its own. A round's rewards are other ones, by a new encoder and new bounds, so what the
head has learnt of the last round's would be a baseline of the wrong size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from synthlib import (
    answers,
    chats,
    curation,
    decoding,
    judging,
    models,
    ppo,
    prompts,
    rewards,
    training,
)

KINDS = rewards.KINDS
PROBES = 200  # sentences whose answers set the bounds of a round


def prompt(anchor: str, kind: str, form: str = "paper") -> str:
    """The request for a positive or a negative variation of a sentence (Table 1)."""
    if kind not in KINDS:
        raise ValueError(f"kind must be positive or negative, got {kind!r}")
    return prompts.variation(anchor, kind, form=form)


def tasks(anchors: Sequence[str], form: str = "paper") -> list[dict]:
    """Both requests for every anchor, as `ppo.train` and TRL's trainers want them.

    Returns
    -------
    list of 2 n dicts
        prompt, anchor, kind.
    """
    return [
        {"prompt": prompt(anchor, kind, form), "anchor": anchor, "kind": kind}
        for anchor in anchors
        for kind in KINDS
    ]


# ------------------------------------------------------------------ the generator
def policy(generator, settings, *, adapter=None, seed=0) -> ppo.Policy:
    """A generator with a LoRA adapter and a value head.

    Parameters
    ----------
    generator : (model, tokenizer)
        Its weights stay as they are; modules are put around its layers (``.model.unload()`` takes
        them off again).
    settings : tiers.ART
        lora_r, lora_alpha, and lora_targets: names of layers, or "all-linear" alone. Where the
        model has not the released code's q_proj and v_proj (T5 calls its queries q), peft's choice
        for its architecture is taken: queries and values.
    adapter : folder, optional
        Go on from the adapter that was saved there.
    seed : int
        Of the adapter's first weights.

    With worked examples in the prompts it is a `ppo.SharedPolicy`, which reads them once a batch.

    Source: ART § 3.2.1, § 4.1.2.
    """
    torch.manual_seed(seed)
    examples = settings.form == "examples" or settings.shots
    return (ppo.SharedPolicy if examples else ppo.Policy)(
        *generator, r=settings.lora_r, alpha=settings.lora_alpha, adapter=adapter,
        targets=targets(generator[0], settings),
    )  # fmt: skip


def targets(model, settings):
    """The layers that `policy` adapts; ValueError where the model has none of these names."""
    named = tuple(settings.lora_targets)
    layers = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if named == ("q_proj", "v_proj") and not set(named) <= layers:
        named = None
    return ppo.lora_layers(model, named)


def tuned(generator, adapter):
    """A generator with a saved adapter, merged into its weights where they are in float32.

    Half-precision weights would round small changes away, so there the adapter stays beside them.

    Parameters
    ----------
    generator : (model, tokenizer)
        Freshly loaded: it is changed.
    adapter : folder

    Returns
    -------
    model, tokenizer
    """
    from peft import PeftModel

    with models.adapting():
        model = PeftModel.from_pretrained(generator[0], str(adapter))
    if generator[0].dtype == torch.float32:
        model = model.merge_and_unload()
    return model.eval(), generator[1]


def choose_bounds(
    generator, anchors, discriminator, encode, *, max_new_tokens, quantile=0.05, seed=0,
    batch_size=64, progress=False,
) -> rewards.Bounds:  # fmt: skip
    """Ω, α⁺ and α⁻ from what a generator writes now, by the rule of `rewards.choose_bounds`.

    Parameters
    ----------
    generator : (model, tokenizer)
        The current one: `policy(…).model` after the first round.
    anchors : sequence of str
        Two hundred will do; an output of each kind is sampled at temperature 1, as in PPO. Of
        fewer more outputs are, where those that are accepted would not do.
    discriminator, encode
        The judges of the round.
    max_new_tokens, quantile, seed, batch_size
    progress : bool
        Of the writing, which takes as long as that of a small round.

    Returns
    -------
    rewards.Bounds

    Raises
    ------
    ValueError
        Where the generator writes nothing or only copies, or the discriminator accepts too little.
    """
    for several in sorted({1, math.ceil(PROBES / max(len(anchors), 1))}):
        table = write(
            generator, anchors, candidates=several, temperature=1.0, max_new_tokens=max_new_tokens,
            seed=seed, batch_size=batch_size, progress=progress,
        )  # fmt: skip
        refuse_echo(table)
        table = judge(table, discriminator, encode, batch_size=batch_size)
        spoken = table[table["text"].str.strip() != ""]
        accepted = spoken.groupby("kind")["p"].agg(lambda p: (p > 0.5).sum())
        if len(accepted) == len(KINDS) and accepted.min() >= rewards.LEAST:
            break
    return rewards.choose_bounds(
        spoken["p"].to_numpy(), spoken["similarity"].to_numpy(), list(spoken["kind"]),
        quantile=quantile,
    )  # fmt: skip


def too_long(generator, discriminator, anchors, *, max_new_tokens) -> list[str]:
    """Why an anchor cannot be worked with, "" where it can: found before hours are spent.

    Parameters
    ----------
    generator, discriminator : (model, tokenizer)
    anchors : sequence of n str
    max_new_tokens : int
        Of an answer: room that the longest prompt, of both kinds, must leave in the generator's
        window, and the anchor in the discriminator's.

    Returns
    -------
    list of n str
    """
    form, reasons = prompts.form_of(*generator), [""] * len(anchors)
    fit = np.ones(len(anchors), dtype=bool)
    for kind in KINDS:
        asked = [prompt(anchor, kind, form) for anchor in anchors]
        fit &= decoding.fits(generator, asked, max_new_tokens)
    judged = judging.nli_fits(*discriminator, [(text, "") for text in anchors], max_new_tokens)
    for i in range(len(anchors)):
        if not fit[i]:
            reasons[i] = decoding.TOO_LONG
        elif not judged[i]:
            reasons[i] = "with an answer it is longer than the discriminator's window"
    return reasons


def refuse_echo(table) -> None:
    """Raise ValueError where a generator wrote nothing, or only copies of its anchors."""
    blank = (table["text"].str.strip() == "").to_numpy()
    if blank.all():
        raise ValueError(
            f"the generator wrote nothing in all of {len(table)} answers, so no reward can tell "
            "them apart: take one that follows instructions, or a larger max_new_tokens"
        )
    if (blank | curation.copies(table["anchor"], table["text"])).all():
        raise ValueError(
            f"the generator only copies: all {len(table)} answers repeat their anchor, so no "
            "reward can tell them apart: take one that follows instructions"
        )


def tune(policy, anchors, discriminator, encode, bounds, settings, **options) -> list[dict]:
    """Step 1: PPO towards the dual reward, both kinds in one batch.

    Parameters
    ----------
    policy : ppo.Policy
        Tuned in place; it ends with the adapter that earned most.
    anchors : sequence of str
        Unlabelled sentences; each is asked for a positive and for a hard negative.
    discriminator : (model, tokenizer)
    encode : callable
        The current sentence encoder: list of n strings to an (n, d) array.
    bounds : rewards.Bounds
    settings : tiers.ART
        Weights, KL coefficient, learning rate and sizes.
    **options
        Of `ppo.train`, in place of the settings' or beside them.

    Returns
    -------
    list of dict
        `ppo.train`'s log.

    Source: ART § 3.2, Eqs. 1 to 4.
    """
    parts = rewards.reward_functions(discriminator, encode, **bounds._asdict())
    chosen = dict(
        steps=settings.ppo_steps, batch_size=settings.ppo_batch_size,
        mini_batch_size=settings.ppo_mini_batch_size, epochs=settings.ppo_epochs,
        learning_rate=settings.learning_rate, kl=settings.kl,
        max_new_tokens=settings.max_new_tokens,
    )  # fmt: skip
    return ppo.train(
        policy, tasks(anchors, prompts.form_of(policy.model, policy.tokenizer)), parts,
        (settings.w1, settings.w2), **chosen | options,
    )  # fmt: skip


def tune_with_trl(
    generator, anchors, discriminator, encode, bounds, settings, *, algorithm="rloo", group=4,
    seed=0, output_dir=None, **options,
):  # fmt: skip
    """The maintained substitutes for `tune`: TRL's RLOO or GRPO with the same rewards.

    A substitution, not the paper's algorithm: TRL holds no PPO any more. Neither needs a value
    head: REINFORCE leave-one-out measures an answer by the mean reward of the other answers to the
    same prompt, GRPO by mean and standard deviation of all of them. As many answers are written a
    step as in PPO, in groups to one prompt, and used for one update.

    Parameters
    ----------
    generator : (model, tokenizer)
        Causal models only: TRL's trainer has no encoder–decoders.
    anchors, discriminator, encode, bounds, settings
        As in `tune`; settings' ppo_steps and ppo_batch_size count here too.
    algorithm : {"rloo", "grpo"}
        GRPO with the loss as it was published, a mean over each answer's tokens.
    group : int ≥ 2
        Answers to one prompt (TRL: num_generations).
    seed : int
    output_dir : folder, optional
    **options
        Of `trl.RLOOConfig` or `trl.GRPOConfig`.

    Returns
    -------
    model : peft model with the tuned adapter
    log : list of dict
        TRL's log: step, reward, rewards/correctness/mean, rewards/difficulty/mean, kl, entropy, …

    Raises
    ------
    ImportError
        Where TRL is not installed (``pip install synthlib[rl]``).
    ValueError
        For an encoder–decoder, another algorithm, or a group that does not divide the batch.

    Source: Ahmadian et al. (2024), Shao et al. (2024), in TRL; rewards: ART Eqs. 2 to 4.
    """
    import tempfile

    model, tokenizer = generator
    if model.config.is_encoder_decoder:
        raise ValueError("TRL trains causal models only, and this is an encoder–decoder")
    if algorithm not in ("rloo", "grpo"):
        raise ValueError(f'algorithm must be "rloo" or "grpo", got {algorithm!r}')
    if group < 2 or settings.ppo_batch_size % group:
        raise ValueError(
            f"group must be at least 2 and divide the {settings.ppo_batch_size} answers of a step, "
            f"got {group}"
        )
    try:
        import trl
    except ImportError:
        raise ImportError("TRL is not installed: pip install 'synthlib[rl]'") from None
    from datasets import Dataset
    from peft import LoraConfig
    from transformers.trainer_callback import PrinterCallback

    targets = list(settings.lora_targets)
    adapter = LoraConfig(
        task_type="CAUSAL_LM", r=settings.lora_r, lora_alpha=settings.lora_alpha,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
    )  # fmt: skip
    on_gpu = model.device.type == "cuda"
    precision = models.training_precision(model.device, model_type=model.config.model_type)
    with tempfile.TemporaryDirectory() as folder:
        config, its_trainer, own_options = {
            "rloo": (trl.RLOOConfig, trl.RLOOTrainer, {}),
            "grpo": (trl.GRPOConfig, trl.GRPOTrainer, {"loss_type": "grpo"}),
        }[algorithm]  # of the two, GRPO's default loss is not the published one
        arguments = config(**dict(
            output_dir=str(output_dir or folder), max_steps=settings.ppo_steps, seed=seed,
            per_device_train_batch_size=settings.ppo_batch_size, num_generations=group,
            learning_rate=settings.learning_rate, lr_scheduler_type="cosine", beta=settings.kl,
            reward_weights=[settings.w1, settings.w2], temperature=1.0, top_k=0, top_p=1.0,
            max_completion_length=settings.max_new_tokens, gradient_checkpointing=False,
            use_cpu=not on_gpu, bf16=precision == "bf16", fp16=precision == "fp16",
            logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
        ) | own_options | options)  # fmt: skip
        form = prompts.form_of(*generator)
        rows = tasks(anchors, form)
        if chats.adds_begin(tokenizer):  # TRL's tokenizing does; a chat has written it already
            rows = [x | {"prompt": x["prompt"].removeprefix(tokenizer.bos_token)} for x in rows]
        with models.adapting():
            trainer = its_trainer(
                model=model, args=arguments, peft_config=adapter, processing_class=tokenizer,
                train_dataset=Dataset.from_list(rows),
                reward_funcs=[
                    _of_sentences(function, answers.reader(form)) for function in
                    rewards.reward_functions(discriminator, encode, **bounds._asdict())
                ],
            )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        own, model.generation_config = model.generation_config, decoding.plain_settings(model)
        try:
            trainer.train()
        finally:
            model.generation_config = own
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    return trainer.model.eval(), log


def _of_sentences(function, read):
    """A reward function that judges of each completion what is read of it."""
    if read is None:
        return function

    @functools.wraps(function)
    def judged(completions, **columns):
        return function(completions=[read(text) for text in completions], **columns)

    return judged


# ------------------------------------------------------------------ the triplets
def write(
    generator, anchors, *, candidates=3, temperature=0.8, max_new_tokens, seed=0, start=0,
    **options,
) -> pd.DataFrame:  # fmt: skip
    """Step 2: several candidates of each kind for every anchor, sampled.

    Parameters
    ----------
    generator : (model, tokenizer)
    anchors : sequence of n sentences
    candidates : int
        Of each kind (the released code: best_of=3).
    temperature : float > 0
        The released code: 0.8.
    max_new_tokens : int
    seed : int
    start : int
        Number of the first anchor in the whole corpus: row i depends on `seed` and ``start + i``
        alone, so a corpus that is written in parts is that of one written whole.
    **options
        Of `decoding.generate_mixture`: batch_size, progress.

    Returns
    -------
    DataFrame
        2 · candidates · n rows: row, anchor, kind, candidate, text (its first line, without
        quotation marks around it; in the forms "chat" and "examples" by the rule of `answers.read`,
        and ``attrs["taken"]`` counts what was taken off).

    Source: ART § 3.3; temperature and number of candidates as in the released code.
    """
    decoding.check_positive(candidates=candidates)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0 for several candidates, got {temperature}")
    rows = [
        (start + i, anchor, kind, candidate)
        for i, anchor in enumerate(anchors)
        for kind in KINDS
        for candidate in range(candidates)
    ]
    table = pd.DataFrame(rows, columns=["row", "anchor", "kind", "candidate"])
    form = prompts.form_of(*generator)
    texts = decoding.generate_mixture(
        *generator, [[prompt(anchor, kind, form) for _, anchor, kind, _ in rows]], [1.0],
        do_sample=True, temperature=temperature, max_new_tokens=max_new_tokens,
        seed=[(seed, row, KINDS.index(kind), candidate) for row, _, kind, candidate in rows],
        ends=prompts.end_ids(generator[1], form), **options,
    )  # fmt: skip
    if form in prompts.FORMS:
        return table.assign(text=[clean(text) for text in texts])
    texts, taken = answers.read_all(texts, form.prefix)
    table.attrs["taken"] = dict(taken)
    return table.assign(text=texts)


def clean(text: str) -> str:
    """What counts of an answer: its first line, without the quotation marks around it."""
    line = text.strip().split("\n")[0].strip()
    return line.strip('"“”').strip() if line[:1] in ('"', "“") else line


def judge(table, discriminator, encode: Callable | None = None, *, batch_size=64):
    """What the discriminator makes of candidates, and how hard the encoder finds them.

    Parameters
    ----------
    table : DataFrame
        anchor, kind, text.
    discriminator : (model, tokenizer)
    encode : callable, optional
        Adds the column similarity.
    batch_size : int

    Returns
    -------
    DataFrame
        With p (probability of the asked-for label; 0 for a blank, and for a pair that is longer
        than the discriminator's window), accepted (it is the most probable of the three, and the
        text is no copy of the anchor), similarity.

    Source: ART § 3.2.2, § 3.3.
    """
    anchors, texts = list(table["anchor"]), list(table["text"])
    target = np.array([rewards.TARGET[kind] for kind in table["kind"]], dtype=int)
    said = np.array([bool(text.strip()) for text in texts], dtype=bool)
    p = np.zeros((len(table), 3))
    pairs = [(a, text) for a, text, whole in zip(anchors, texts, said, strict=True) if whole]
    p[said] = judging.nli_probabilities(*discriminator, pairs, batch_size=batch_size, long="skip")
    accepted = said & (p.max(1) > 0) & (p.argmax(1) == target) & ~curation.copies(anchors, texts)
    found = table.assign(p=p[np.arange(len(table)), target], accepted=accepted)
    if encode is not None:
        similarity = np.zeros(len(table))
        similarity[said] = judging.cosine(encode, pairs)
        found["similarity"] = similarity
    return found


def select(table, *, filtered=True) -> pd.DataFrame:
    """One triplet an anchor: its first accepted candidate of each kind.

    Parameters
    ----------
    table : DataFrame
        From `judge`: row, anchor, kind, candidate, text, accepted.
    filtered : bool
        False leaves the discriminator out: the first candidate of each kind that is not blank.

    Returns
    -------
    DataFrame
        row, anchor, positive, negative; an anchor without both kinds has no row.

    Source: ART § 3.3 (the filter is described there and not released).
    """
    good = table[table["accepted"]] if filtered else table[table["text"].str.strip() != ""]
    first = good.sort_values(["row", "kind", "candidate"]).drop_duplicates(["row", "kind"])
    wide = first.pivot(index="row", columns="kind", values="text").reindex(columns=KINDS).dropna()
    anchors = table.drop_duplicates("row").set_index("row")["anchor"]
    found = wide.assign(anchor=anchors.reindex(wide.index))
    return found.reset_index()[["row", "anchor", *KINDS]].rename_axis(columns=None)


# ------------------------------------------------------------------ the encoder
def train(encoder, triplets, settings, **options):
    """Step 3: train the encoder on the triplets with the supervised SimCSE loss.

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
        Trained in place.
    triplets : DataFrame
        anchor, positive, negative.
    settings : tiers.ART
        encoder_epochs, encoder_learning_rate, encoder_batch_size, tau.
    **options
        Of `training.train_supervised_simcse`, in place of the settings' or beside them.

    Returns
    -------
    encoder

    Source: ART § 3.3, Eq. 5; § 4.1.2.
    """
    chosen = dict(
        batch_size=settings.encoder_batch_size, learning_rate=settings.encoder_learning_rate,
        epochs=settings.encoder_epochs, tau=settings.tau,
    ) | options  # fmt: skip
    if options.get("max_steps") is not None:
        del chosen["epochs"]
    return training.train_supervised_simcse(encoder, triplets, **chosen)


# ------------------------------------------------------------------ the whole method
def one_round(
    policy, discriminator, encoder, prompted, anchors, settings, *, seed=0, encoder_seed=0,
    generation_batch=64, **options,
):  # fmt: skip
    """A round in memory: the generator is tuned, then writes, then the encoder learns.

    Parameters
    ----------
    policy : ppo.Policy
        Tuned in place.
    discriminator : (model, tokenizer)
    encoder : sentence_transformers.SentenceTransformer
        Judge of difficulty; then trained in place.
    prompted, anchors : lists of str
        What PPO asks for, and what triplets are written from.
    settings : tiers.ART
    seed, encoder_seed : int
        Of all that is drawn by the generator, and of the encoder's training.
    generation_batch : int
        Answers that are written at once for the triplets.
    **options
        Of `ppo.train`: steps, batch_size, mini_batch_size, progress, …

    Returns
    -------
    triplets : DataFrame
        row, anchor, positive, negative.
    log : list of dict
        Of `ppo.train`.

    Source: ART § 3, Figure 1.
    """
    speaker, judges = (policy.model, policy.tokenizer), (discriminator, encoder.encode)
    room = settings.max_new_tokens
    some = [*prompted, *anchors][:PROBES]
    bounds = choose_bounds(speaker, some, *judges, max_new_tokens=room, seed=seed)
    log = tune(policy, prompted, *judges, bounds, settings, seed=seed, **options)
    table = write(
        speaker, anchors, temperature=settings.temperature, max_new_tokens=room, seed=seed,
        batch_size=generation_batch,
    )  # fmt: skip
    rows = select(judge(table, discriminator))
    # Where a generator fails, little is kept: less than a batch, perhaps.
    batch = min(settings.encoder_batch_size, max(len(rows), 1))
    show = options.get("progress", True)
    train(encoder, rows, settings, batch_size=batch, seed=encoder_seed, progress=show)
    return rows, log


def pipeline(
    generator, discriminator, encoder, rounds, settings, *, seed=0, generation_batch=64, **options
):  # fmt: skip
    """ART in memory, round after round: the encoder of one is the judge of difficulty of the next.

    Parameters
    ----------
    generator, discriminator : (model, tokenizer)
        The generator's own weights stay as they are.
    encoder : sentence_transformers.SentenceTransformer
        Trained in place; the difficulty judge of the next round.
    rounds : sequence of (prompted, anchors)
        A pair of lists of sentences for each round: those that PPO asks for, and those that
        triplets are written from.
    settings : tiers.ART
    seed : int
    generation_batch : int
        Answers that are written at once for the triplets.
    **options
        Of `ppo.train`: steps, batch_size, mini_batch_size, progress, …

    Returns
    -------
    triplets : list of DataFrame
        row, anchor, positive, negative of each round.
    logs : list of lists of dict
        `ppo.train`'s log of each round.

    The adapter goes on from round to round; the value head begins each one at zero.

    Source: ART § 3, Figure 1. `runs.art` takes the same stages, resumable.
    """
    own, triplets, logs = policy(generator, settings, seed=seed), [], []
    for number, (prompted, anchors) in enumerate(rounds, start=1):
        for weights in own.value.parameters():
            torch.nn.init.zeros_(weights)
        rows, log = one_round(
            own, discriminator, encoder, prompted, anchors, settings, seed=1000 * seed + number,
            encoder_seed=seed, generation_batch=generation_batch, **options,
        )  # fmt: skip
        triplets.append(rows)
        logs.append(log)
    return triplets, logs
