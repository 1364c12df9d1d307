"""Prompt-based pooling (PromptBERT, Jiang et al., 2022): a sentence is put into a template such as
``this sentence : " … " means [MASK] .`` and its vector is the hidden state at the mask.

The paper's second trick for training without labels, two templates whose own bias is subtracted
("template denoising"), is not done here: one template, and dropout makes the two views.
"""

import re

import torch
from sentence_transformers.sentence_transformer.modules import Transformer


class PromptTransformer(Transformer):
    """A masked language model that reads every sentence inside a template.

    Parameters
    ----------
    *args, **options
        Of `sentence_transformers.base.modules.Transformer`.
    template : str
        With the places ``{sentence}`` and, after it, ``{mask}``, once each, as in
        `prompts.PROMPT_POOLING`. It is saved with the module.

    Raises
    ------
    ValueError
        When the template lacks a place, or the tokenizer has no mask token, does not know the
        template's words, or cannot say which characters a token stands for.

    Source: Jiang et al. 2022, § 4.1 and Eq. 4.
    """

    config_keys = [*Transformer.config_keys, "template"]

    def __init__(self, *args, template, **options):
        super().__init__(*args, **options)
        if not re.fullmatch(r"[^{}]*\{sentence\}[^{}]*\{mask\}[^{}]*", template):
            raise ValueError(f"a template has {{sentence}} and then {{mask}}, got {template!r}")
        self.template = template
        if self.tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask token, so no prompt-based pooling")
        if not self.tokenizer.is_fast:
            raise ValueError("prompt-based pooling needs a fast tokenizer, to cut sentences short")
        empty = self.tokenizer(self._fill([""])[0])["input_ids"]
        if self.tokenizer.unk_token_id in empty and self.tokenizer.unk_token_id is not None:
            raise ValueError(f"the vocabulary lacks words of the template {template!r}")
        self.template_length = len(empty)  # tokens around a sentence, with those at the two ends

    def _fill(self, sentences):
        template = self.template.replace("{mask}", self.tokenizer.mask_token)
        return [template.replace("{sentence}", text) for text in sentences]

    def preprocess(self, inputs, prompt=None, **_):
        """Tokens of the filled template; what is too long loses words at the sentence's end.

        Returns
        -------
        dict of tensors [n, longest]
        """
        limit = self.tokenizer.model_max_length
        if limit <= self.template_length:
            raise ValueError(
                f"max_seq_length {limit} leaves no room for a sentence beside the template's "
                f"{self.template_length} tokens"
            )
        sentences = [(prompt or "") + text for text in inputs]
        tokens = self.tokenizer(
            self._fill(sentences), return_offsets_mapping=True, truncation=False, verbose=False
        )
        before = self.template.index("{sentence}")
        for row, (sentence, offsets) in enumerate(
            zip(sentences, tokens.pop("offset_mapping"), strict=True)
        ):
            length = len(offsets)
            if length > limit:
                end = before + len(sentence)  # the first token that reaches further is kept
                tail = next(place for place, (_, stop) in enumerate(offsets) if stop > end)
                for values in tokens.values():
                    del values[row][tail - (length - limit) : tail]
        return dict(self.tokenizer.pad(tokens, return_tensors="pt", verbose=False))

    def forward(self, features, **options):
        """Adds ``sentence_embedding`` [n, d]: the hidden state at each row's last mask."""
        features = super().forward(features, **options)
        masks = features["input_ids"] == self.tokenizer.mask_token_id
        place = (masks * torch.arange(1, masks.shape[1] + 1, device=masks.device)).argmax(dim=1)
        rows = torch.arange(len(place), device=place.device)
        features["sentence_embedding"] = features["token_embeddings"][rows, place]
        return features
