"""The sentence encoder that `models.load_encoder` gives: sentence-transformers' own, which goes on
where memory runs out, says where it cuts sentences, and saves itself for any version of the
library."""

import warnings

import sentence_transformers

from synthlib import memory, tokens


class Encoder(sentence_transformers.SentenceTransformer):
    """As `sentence_transformers.SentenceTransformer`, in all that is not said above."""

    _has_cut = False

    def encode(
        self, inputs=None, prompt_name=None, prompt=None, batch_size=32, *args, sentences=None,
        **options,
    ):  # fmt: skip
        """Vectors (n, d) of n sentences; `batch_size` is halved where memory runs out.

        A sentence longer than the encoder's window is cut at its end; a warning counts them, once
        an encoder.

        Raises
        ------
        memory.OutOfMemory
            When a single sentence does not fit.
        """
        inputs = sentences if inputs is None else inputs
        self._say_what_is_cut([inputs] if isinstance(inputs, str) else inputs)
        encode = super().encode
        vectors, _ = memory.fitting(
            lambda size: encode(inputs, prompt_name, prompt, size, *args, **options),
            batch_size, "sentences at a time", model=self,
        )  # fmt: skip
        return vectors

    def preprocess(self, inputs, *args, **options):
        """Tokens of n sentences; a special token that one of them spells is read as text."""
        return super().preprocess(tokens.parted(self.tokenizer, inputs), *args, **options)

    def _say_what_is_cut(self, sentences):
        limit = self.max_seq_length
        if self._has_cut or limit is None or limit > 10**9:
            return
        around = getattr(self[0], "template_length", self.tokenizer.num_special_tokens_to_add())
        room = limit - around
        # A token is a byte at least, so most sentences need not be counted.
        long = [s for s in sentences if isinstance(s, str) and len(s.encode()) > room]
        if not long:
            return
        rows = self.tokenizer(long, add_special_tokens=False, verbose=False)["input_ids"]
        cut = sum(len(row) > room for row in rows)
        if cut:
            self._has_cut = True
            warnings.warn(
                f"{cut} of {len(sentences)} sentences are longer than the {limit} tokens that the "
                "encoder reads at once: their ends are cut off (not said again)",
                stacklevel=3,
            )

    def _get_model_config(self):
        # The library warns of any model that a newer version has written, whatever is in it.
        held = super()._get_model_config()
        held["__version__"].pop("sentence_transformers", None)
        return held | {"model_type": "SentenceTransformer"}
