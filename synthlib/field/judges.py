"""``make field-judges``: train the two NLI judges of real language, small adapters on MiniLM.

Where the pocket world has an oracle, real sentences have models that learnt from what people have
labelled. Two are trained here, on halves of the pairs of SNLI and MultiNLI that share no premise:
the **judge**, which methods may use, and the **examiner**, which only measures what they made. A
tenth of the premises is in neither half (`pairs.part_of`).

Each is all-MiniLM-L6-v2 as a cross-encoder, with an adapter (LoRA) on all its matrices and a head
of three classes: less than 3 MB in float16, in ``data/field/judges``. The same command goes on
where it was interrupted, from the last checkpoint in the folder ``.NAME.run``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from synthlib import commands, discriminator, models, paths, weights
from synthlib.field import examiner, pairs

BASE = "laptop/all-minilm-l6-v2"
NAMES = tuple(name.removeprefix("laptop/") for name in weights.JUDGES)
SETTINGS = dict(lora=32, batch_size=32, learning_rate=5e-4, max_length=128)
EPOCHS = 3
_CHECKPOINTS = 40  # what an interruption can lose is a fortieth
_ABOUT = "training.json"


def train(name, data, out, *, seed=0, precision=None, progress=True, scale=1.0) -> Path:
    """Train one of the two judges, or go on with it.

    Parameters
    ----------
    name : "judge" or "examiner"
    data : path
        Folder with ``nli/snli`` and ``nli/mnli`` in it (`pairs.sets`).
    out : path
        Folder that gets the adapter's folder, of that name.
    seed : int
    precision : {"fp32", "bf16"}, optional
        Default: what is fast here, `models.training_precision`.
    progress : bool
    scale : float in (0, 1]
        Factor on the steps (a smoke test takes 0.01).

    Returns
    -------
    Path
        The adapter's folder, for `models.load_nli`; ``training.json`` in it says how it was made.

    Raises
    ------
    ValueError, OSError
        For another name, an option out of range, absent data, an absent base, and a folder that
        holds the states of another training.
    """
    if name not in NAMES:
        raise ValueError(f"a judge is one of {', '.join(NAMES)}, got {name!r}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie between 0 and {2**31 - 1}, got {seed}")
    if not 0 < scale <= 1:
        raise ValueError(f"scale, a factor on the steps, must lie in (0, 1], got {scale}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; the name of a folder is wanted")
    cpu = torch.device("cpu")
    models.resolve(BASE, cpu, None)  # where it is absent, that is said before all else
    learnt = pairs.to_learn_from(data, name)
    steps = max(1, round(scale * EPOCHS * (len(learnt) // SETTINGS["batch_size"])))
    about = SETTINGS | dict(base=BASE, seed=seed, steps=steps, pairs=len(learnt))
    run = _states(out / f".{name}.run", about)
    model, _ = discriminator.train_nli(
        BASE, learnt, max_steps=steps, eval_steps=max(1, steps // _CHECKPOINTS), seed=seed,
        output_dir=run, precision=precision, device=cpu, progress=progress, by_length=True,
        **SETTINGS,
    )  # fmt: skip
    unfinished = out / f".{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    discriminator.save_adapter(model, BASE, unfinished)
    (unfinished / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(out / name, ignore_errors=True)
    unfinished.rename(out / name)
    shutil.rmtree(run)
    return out / name


def _states(run, about) -> Path:
    """The folder of a training's checkpoints, which is this training's or a new one."""
    record = run / _ABOUT
    if record.is_file():
        held = json.loads(record.read_text(encoding="utf-8"))
        other = [
            f"{key} {held.get(key)} → {value}"
            for key, value in about.items() if held.get(key) != value
        ]  # fmt: skip
        if other:
            raise ValueError(
                f"{run} holds another training ({', '.join(other)}): delete it, or give another "
                "--out"
            )
    else:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        paths.write_bytes(record, json.dumps(about, indent=1).encode())
    return run


def main(argv=None) -> int:
    """Entry of ``python -m synthlib field-judges``."""
    given = commands.field_judges().parse_args(argv)
    for name in given.only or NAMES:
        folder = given.out / name
        if (folder / _ABOUT).is_file() and not given.again:
            print(f"{name}: is there, {folder} (--again trains it anew)")
            continue
        train(
            name, given.data, given.out, seed=given.seed, precision=given.precision,
            progress=not given.quiet, scale=given.scale,
        )  # fmt: skip
        table = examiner.examine(
            models.load_nli(folder), examiner.held_out(given.data), progress=not given.quiet
        )
        paths.write_bytes(folder / examiner.RECORD, table.to_csv(index=False).encode())
        print(f"{name}: {folder}\n{examiner.said(table)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
