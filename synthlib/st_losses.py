"""The kernels of `losses` as losses of sentence-transformers, for its own trainer.

They are called as all of its losses are, with the features of a data set's columns and its labels;
so everything that its trainer, its samplers and its other losses can do stands beside them. The
loss is the one that `training` computes.
"""

import numpy as np
import torch
from torch import nn

from synthlib import losses, training

_TOO_SHORT = ""  # in place of the sentences that a shorter list lacks


class InfoNCELoss(training.InBatchLoss):
    """InfoNCE over a batch, with hard negatives where there is a third column, and with a mask.

    For a data set whose columns are texts in the order anchor, positive, or anchor, positive,
    negative, whatever their names. In several processes the batch is that of all of them.

    Parameters
    ----------
    model : sentence_transformers.SentenceTransformer
        The encoder to train.
    tau : float > 0
        Temperature, default 0.05.
    keep : callable, optional
        `keep(labels [N]) -> bool [N, 2N]`, the mask for `losses.info_nce`, or what else that takes
        as `keep`: called in every step with the batch's labels. With a column ``label`` that
        numbers the rows, `methods.multicsr.false_negative_mask(guide.encode, triplets)` is stage 3
        of MultiCSR: the guide reads each sentence once, not once an epoch.
    variant : {"paper", "released"}
        Of `losses.info_nce`.

    Raises
    ------
    ValueError
        When called: for other than two or three columns, a `keep` without labels, and as
        `losses.info_nce`.

    Source: SimCSE (Gao et al. 2021) Eqs. 4 and 5; MultiCSR §3.3, Eqs. 5 to 7.
    """

    def __init__(self, model, *, tau=0.05, keep=None, variant="paper"):
        super().__init__(model, nn.Identity(), None, tau, keep, variant)

    def forward(self, sentence_features, labels=None):
        """The loss of a batch: features of each column, and the numbers of its rows."""
        columns = list(sentence_features)
        if len(columns) not in (2, 3):
            raise ValueError(
                f"the data set has {len(columns)} columns of texts; anchor, positive and, if "
                "there are any, negative are wanted: choose them with select_columns"
            )
        if labels is None and self.keep is not None:
            raise ValueError(
                "keep asks which rows a batch holds: number them in a column label, "
                'dataset.add_column("label", list(range(len(dataset))))'
            )
        self.views = len(columns)
        vectors = torch.cat([self.model(c)["sentence_embedding"] for c in columns]).float()
        if labels is None:  # without a mask their number is all that counts
            labels = torch.arange(len(vectors) // self.views, device=vectors.device)
        return self.value(vectors, labels)

    def get_config_dict(self):
        """What a model card says of the loss."""
        return {"tau": self.tau, "variant": self.variant, "mask": self.keep is not None}


class ListMLELoss(nn.Module):
    """ListMLE over ranking lists: every sentence of a list ranks the list, as its target says.

    For a data set of `list_columns`. The loss is the mean over the sentences of a list, and over
    the lists of a batch.

    Parameters
    ----------
    model : sentence_transformers.SentenceTransformer
        The encoder to train.
    tau : float > 0
        Temperature, default 0.05.
    own : bool
        Whether a sentence stands in its own ranking, as in Eq. 8.

    Raises
    ------
    ValueError
        When called, for labels that are not [lists, n, n] for n columns.

    Source: ranking sentences § 3.2, Eq. 8.
    """

    def __init__(self, model, *, tau=0.05, own=True):
        super().__init__()
        self.model, self.tau, self.own = model, tau, own

    def forward(self, sentence_features, labels=None):
        """The loss of a batch: features of each place of the lists, and the targets [N, n, n]."""
        columns = list(sentence_features)
        vectors = torch.stack([self.model(c)["sentence_embedding"] for c in columns], dim=1)
        vectors = losses.unit(vectors.float())  # [N, n, d]
        n, wanted = len(columns), (len(vectors), len(columns), len(columns))
        if labels is None or tuple(labels.shape) != wanted:
            got = "none" if labels is None else f"shape {tuple(labels.shape)}"
            raise ValueError(
                f"lists of {n} sentences want labels of the shape {wanted}, got {got}: "
                "st_losses.list_columns makes such a data set"
            )
        with torch.autocast(vectors.device.type, enabled=False):
            scores = vectors @ vectors.mT / self.tau
        there = ~labels.isnan()  # [N, n, n]
        rows = there.any(dim=-1)
        if not self.own:
            there = there & ~torch.eye(n, dtype=torch.bool, device=there.device)
        each = [
            losses.list_mle(scores[i, rows[i]], labels[i, rows[i]], mask=there[i, rows[i]],
                            reduction="mean")
            for i in range(len(labels))
        ]  # fmt: skip
        return torch.stack(each).mean()

    def get_config_dict(self):
        """What a model card says of the loss."""
        return {"tau": self.tau, "own": self.own}


def list_columns(lists, targets):
    """Ranking lists as a data set for `ListMLELoss`: a column for each place, and the targets.

    sentence-transformers reads a text a column. So lists that are shorter than the longest are
    filled up, with empty texts that take no part in the loss but are read: lists of like lengths
    waste less.

    Parameters
    ----------
    lists : sequence of lists of str
        Two or more sentences each.
    targets : sequence of float arrays [n, n]
        One for each list, as for `training.post_train_ranking`.

    Returns
    -------
    datasets.Dataset
        Columns sentence_1, sentence_2, … and label, [n, n] with NaN where there is no sentence.

    Raises
    ------
    ValueError
        For as many targets as there are no lists, a list of one sentence, a target of another
        shape or with NaN or infinite values.

    Source: ranking sentences § 3.2, Eq. 8.
    """
    from datasets import Dataset

    lists, targets = [list(row) for row in lists], [np.asarray(target) for target in targets]
    if not lists or len(lists) != len(targets):
        raise ValueError(f"{len(targets)} targets for {len(lists)} lists; wanted one for each")
    for number, (row, target) in enumerate(zip(lists, targets, strict=True)):
        if len(row) < 2 or not all(isinstance(text, str) and text.strip() for text in row):
            raise ValueError(f"lists[{number}] is {row!r}; wanted two or more sentences")
        if target.shape != (len(row),) * 2 or not np.isfinite(target).all():
            raise ValueError(
                f"targets[{number}] has shape {target.shape}, or NaN; its list of {len(row)} "
                f"sentences needs ({len(row)}, {len(row)}), finite"
            )
    longest = max(map(len, lists))
    filled = [[*row, *[_TOO_SHORT] * (longest - len(row))] for row in lists]
    labels = np.full((len(lists), longest, longest), np.nan, np.float32)
    for place, target in zip(labels, targets, strict=True):
        place[: len(target), : len(target)] = target
    names = [f"sentence_{i}" for i in range(1, longest + 1)]
    columns = dict(zip(names, map(list, zip(*filled, strict=True)), strict=True))
    return Dataset.from_dict(columns | {"label": labels.tolist()})
