"""Loading by pocket name, folder and hub id, and the one line that each obstacle gives."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tiny_models
import torch

from synthlib import models, prompts
from synthlib.models import ModelUnavailable, load_encoder, load_generator, load_nli


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One saved tiny model a kind."""
    root = tmp_path_factory.mktemp("models")
    kinds = ("bert", "bert-pooler", "roberta", "nli", "t5", "llama", "gpt2")
    return {kind: tiny_models.save(root / kind, kind) for kind in kinds}


@pytest.fixture
def copy(folders, tmp_path):
    """A copy of a saved model that a test may damage."""
    return lambda kind: shutil.copytree(folders[kind], tmp_path / kind)


def rewrite(file, **changes):
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | changes))


# ---------------------------------------------------------------- encoders


def hidden_states(folder, texts):
    """Last hidden states and attention mask, without sentence-transformers."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    return out, tokens["attention_mask"].unsqueeze(-1)


TEXTS = ["the man runs", "a red dog sleeps in the park"]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pooling_of_a_plain_folder(folders, kind):
    out, mask = hidden_states(folders[kind], TEXTS)
    want = {
        "mean": (out.last_hidden_state * mask).sum(1) / mask.sum(1),
        "cls": out.last_hidden_state[:, 0],
    }
    for pooling, vectors in want.items():
        encoder = load_encoder(folders[kind], pooling=pooling)
        assert models.pooling_of(encoder) == pooling and not encoder.training
        assert np.allclose(encoder.encode(TEXTS), vectors, atol=1e-5)


def test_cls_mlp_is_berts_pooler_output(folders):
    out, _ = hidden_states(folders["bert-pooler"], TEXTS)
    encoder = load_encoder(folders["bert-pooler"], pooling="cls_mlp")
    assert np.allclose(encoder.encode(TEXTS), out.pooler_output, atol=1e-5)
    with pytest.raises(ValueError, match="no pooler layer"):
        load_encoder(folders["bert"], pooling="cls_mlp")


@pytest.mark.parametrize("pooling", ["mean", "cls", "cls_mlp"])
def test_pooling_travels_with_a_saved_encoder(folders, tmp_path, pooling):
    encoder = load_encoder(folders["bert-pooler"], pooling=pooling)
    encoder.save_pretrained(str(tmp_path / "saved"))
    again = load_encoder(tmp_path / "saved")
    assert models.pooling_of(again) == pooling
    assert np.allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)
    assert models.pooling_of(load_encoder(tmp_path / "saved", pooling=pooling)) == pooling
    other = "cls" if pooling != "cls" else "mean"
    with pytest.raises(ValueError, match=f"trained with pooling='{pooling}'"):
        load_encoder(tmp_path / "saved", pooling=other)


def test_no_random_pooler_is_added(folders, tmp_path):
    encoder = load_encoder(folders["bert"], pooling="mean")
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]
    encoder.save_pretrained(str(tmp_path / "saved"))
    again = load_encoder(tmp_path / "saved")
    assert not [name for name, _ in again.named_parameters() if "pooler" in name]


def test_a_plain_folder_needs_its_pooling_named(folders):
    with pytest.raises(ValueError, match="pass the pooling"):
        load_encoder(folders["bert"])
    with pytest.raises(ValueError, match="pooling must be one of"):
        load_encoder(folders["bert"], pooling="cls_before_pooler")


def test_older_pooling_files_are_read(folders, tmp_path):
    load_encoder(folders["bert"], pooling="cls").save_pretrained(str(tmp_path))
    assert models.pooling_of(load_encoder(tmp_path)) == "cls"
    (settings,) = tmp_path.glob("*_Pooling/config.json")
    held = json.loads(settings.read_text())
    del held["pooling_mode"]
    old = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    settings.write_text(json.dumps(held | old))
    assert models.pooling_of(load_encoder(tmp_path)) == "mean"


def test_known_checkpoints_have_their_readme_pooling():
    pooling = models.known_pooling
    assert pooling("princeton-nlp/unsup-simcse-bert-base-uncased", None) == "cls"
    assert pooling("princeton-nlp/sup-simcse-roberta-large", None) == "cls_mlp"
    assert pooling("pocket/mlm-bert", None) == "mean"
    assert pooling("pocket/mlm-bert", "cls") == "cls"
    with pytest.raises(ValueError, match="trained with pooling='cls'"):
        pooling("princeton-nlp/unsup-simcse-bert-base-uncased", "mean")


def test_encoders_truncate_at_their_position_table(folders):
    long = [" ".join(["dog"] * 100)]
    assert load_encoder(folders["bert"], pooling="mean").max_seq_length == 40
    roberta = load_encoder(folders["roberta"], pooling="mean")
    assert roberta.max_seq_length == 39  # its positions start at padding_idx + 1
    assert np.isfinite(roberta.encode(long)).all()


def test_encoder_dtype(folders):
    assert next(load_encoder(folders["bert"], pooling="mean").parameters()).dtype == torch.float32
    half = load_encoder(folders["bert"], pooling="mean", dtype="bfloat16")
    assert next(half.parameters()).dtype == torch.bfloat16


def test_a_folder_with_its_own_module_code_is_refused(folders, tmp_path):
    encoder = load_encoder(folders["bert"], pooling="mean")
    encoder.save_pretrained(str(tmp_path / "saved"))
    listing = tmp_path / "saved" / "modules.json"
    modules = json.loads(listing.read_text())
    modules[1]["type"] = "evil.Pooling"
    listing.write_text(json.dumps(modules))
    with pytest.raises(ModelUnavailable, match="own code"):
        load_encoder(tmp_path / "saved")


# ---------------------------------------------------------------- prompt-based pooling


@pytest.fixture
def template(monkeypatch):
    """A template of words that the tiny vocabulary has."""
    text = "the {sentence} in {mask} park"
    monkeypatch.setattr(prompts, "PROMPT_POOLING", {"paper": text, "pocket": text + " house"})


def at_the_mask(folder, texts):
    """Hidden states at the mask, each sentence by itself, without sentence-transformers."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    vectors = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(input_ids=ids).last_hidden_state[0]
        vectors.append(states[ids[0].tolist().index(tokenizer.mask_token_id)].numpy())
    return np.stack(vectors)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_prompt_pooling_is_the_hidden_state_at_the_mask(folders, template, kind):
    encoder = load_encoder(folders[kind], pooling="prompt")
    assert models.pooling_of(encoder) == "prompt" and not encoder.training
    want = at_the_mask(folders[kind], [f"the {text} in <mask> park" for text in TEXTS])
    assert np.allclose(encoder.encode(TEXTS), want, atol=1e-5)
    odd = encoder.encode(["a {mask} <mask> {sentence} dog"])  # the sentence's own mask is no place
    assert np.isfinite(odd).all()
    ids = encoder.preprocess(["a <mask> dog"])["input_ids"]
    out = encoder[0].model(input_ids=ids).last_hidden_state[0]
    last = (ids[0] == 3).nonzero()[-1, 0]
    assert np.allclose(encoder.encode(["a <mask> dog"])[0], out[last].detach(), atol=1e-5)


def test_the_wording_of_the_template_follows_the_models_form(copy, template):
    folder = copy("bert")
    assert not load_encoder(folder, pooling="prompt")[0].template.endswith("house")
    rewrite(folder / "config.json", synthlib_form="pocket")
    assert load_encoder(folder, pooling="prompt")[0].template.endswith("house")


@pytest.mark.parametrize("name", ["pocket/mlm-bert", "pocket/mlm-roberta"])
def test_the_pocket_models_know_the_pocket_template(name):
    encoder = load_encoder(name, pooling="prompt")
    assert encoder[0].template == prompts.PROMPT_POOLING["pocket"]
    want = at_the_mask(models.POCKET / name[7:], ['this sentence : " the dog " means <mask> .'])
    assert np.allclose(encoder.encode(["the dog"]), want, atol=1e-5)


def test_prompt_pooling_travels_with_a_saved_encoder(folders, template, tmp_path, monkeypatch):
    encoder = load_encoder(folders["bert"], pooling="prompt")
    encoder.max_seq_length = 12
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert not list((tmp_path / "saved").rglob("*.bin"))
    monkeypatch.undo()  # the folder's own template is read, not the present one
    again = load_encoder(tmp_path / "saved")
    assert models.pooling_of(again) == "prompt" and again.max_seq_length == 12
    assert np.allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="trained with pooling='prompt'"):
        load_encoder(tmp_path / "saved", pooling="mean")


def test_our_own_module_opens_no_door_to_others_code(folders, template, tmp_path):
    encoder = load_encoder(folders["bert"], pooling="prompt")
    kind = type(encoder[0])
    encoder.save_pretrained(str(tmp_path / "saved"))
    listing = tmp_path / "saved" / "modules.json"
    ours = json.loads(listing.read_text())
    assert ours[0]["type"] == f"{kind.__module__}.{kind.__qualname__}"
    other = ours[0] | {"idx": 1, "name": "1", "type": "evil.Pooling"}
    for modules in (
        [ours[0], other],
        [other],
        [ours[0] | {"type": "synthlib.prompt_pooling.Other"}],
        [ours[0] | {"type": "synthlib.prompt_pooling.PromptTransformer.evil"}],
    ):
        listing.write_text(json.dumps(modules))
        with pytest.raises(ModelUnavailable, match="own code"):
            load_encoder(tmp_path / "saved")


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_long_sentence_is_cut_inside_the_template(folders, template, kind):
    encoder = load_encoder(folders[kind], pooling="prompt")
    read = encoder.tokenizer.convert_ids_to_tokens
    encoder.max_seq_length = 10
    batch = encoder.preprocess(["dog " * 50 + "cat", "dog", "a cat eats not dog"])
    assert batch["input_ids"].shape == (3, 10)
    around = lambda words: f"<cls> the {words} in <mask> park <sep>".split()  # noqa: E731
    rows = [read(ids[mask > 0]) for ids, mask in
            zip(batch["input_ids"], batch["attention_mask"], strict=True)]  # fmt: skip
    assert rows == [around("dog dog dog dog"), around("dog"), around("a cat eats not")]
    encoder.max_seq_length = 6
    with pytest.raises(ValueError, match="leaves no room for a sentence beside the template's 6"):
        encoder.encode(["dog"])


def test_what_prompt_pooling_needs(folders, copy, monkeypatch):
    with pytest.raises(ModelUnavailable, match="vocabulary lacks words of the template"):
        load_encoder(folders["bert"], pooling="prompt")  # the real template
    for wrong in ("the {mask} in {sentence}", "the {sentence}", "{sentence.x} {mask}"):
        monkeypatch.setattr(prompts, "PROMPT_POOLING", {"paper": wrong})
        with pytest.raises(ModelUnavailable, match="and then {mask}"):
            load_encoder(folders["bert"], pooling="prompt")
    monkeypatch.setattr(prompts, "PROMPT_POOLING", {"paper": "the {sentence} in {mask} park"})
    folder = copy("roberta")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["mask_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelUnavailable, match="no mask token"):
        load_encoder(folder, pooling="prompt")


# ---------------------------------------------------------------- generators


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_generators_generate(folders, kind):
    model, tokenizer = load_generator(folders[kind])
    assert not model.training and model.dtype == torch.float32
    assert tokenizer.padding_side == ("right" if kind == "t5" else "left")
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert tokens["attention_mask"].min() == 0  # the batch is padded with a real pad token
    out = model.generate(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], max_new_tokens=3,
        do_sample=False,
    )  # fmt: skip
    assert len(out) == 2
    assert model.config.is_encoder_decoder == (kind == "t5")


def test_generator_dtype(folders):
    assert load_generator(folders["t5"], dtype=torch.bfloat16)[0].dtype == torch.bfloat16
    with pytest.raises(ValueError, match="dtype must be"):
        load_generator(folders["t5"], dtype="int8")


@pytest.mark.parametrize(
    "capability, model_type, want",
    [
        ((9, 0), "t5", torch.bfloat16),
        ((8, 0), "llama", torch.bfloat16),
        ((7, 5), "llama", torch.float16),
        ((7, 5), "t5", torch.float32),  # float16 overflows in T5
    ],
)
def test_dtype_by_gpu(monkeypatch, capability, model_type, want):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert models.pick_dtype(torch.device("cuda"), model_type=model_type) == want
    assert (
        models.pick_dtype(torch.device("cuda"), "float32", model_type=model_type) == torch.float32
    )


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert models.pick_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="no cuda device"):
        models.pick_device("cuda")
    with pytest.raises(ValueError, match="not known"):
        models.pick_device("quantum")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert models.pick_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models.pick_device() == torch.device("cuda")


# ---------------------------------------------------------------- NLI


def test_nli_label_order_comes_from_the_config(folders):
    model, tokenizer = load_nli(folders["nli"])
    assert not model.training
    assert models.nli_columns(model.config.id2label) == (1, 2, 0)
    tokens = tokenizer(TEXTS, TEXTS, padding=True, return_tensors="pt")
    assert model(**tokens).logits.shape == (2, 3)


def test_nli_labels_in_any_case():
    roberta = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    assert models.nli_columns(roberta) == (2, 1, 0)


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "entailment", 1: "not_entailment"},
        {0: "entailment", 1: "neutral", 2: "contradiction", 3: "Neutral"},
        {},
    ],
)
def test_other_labels_are_refused_and_named(copy, labels):
    folder = copy("nli")
    rewrite(folder / "config.json", id2label=labels, label2id=None)
    with pytest.raises(ValueError, match=f"found {', '.join(labels.values()) or 'none'}"):
        load_nli(folder)


def test_a_missing_head_is_not_made_up(copy):
    from safetensors.torch import load_file, save_file

    folder = copy("nli")
    weights = load_file(folder / "model.safetensors")
    headless = {key: value for key, value in weights.items() if "classifier" not in key}
    save_file(headless, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="lacks 2 of its weights"):
        load_nli(folder)


@pytest.mark.parametrize(
    "load, kind", [(load_generator, "bert"), (load_generator, "nli"), (load_nli, "t5")]
)
def test_the_wrong_kind_of_model(folders, load, kind):
    with pytest.raises(ValueError, match="wanted one that ends in"):
        load(folders[kind])


# ---------------------------------------------------------------- names and folders


def test_pocket_names(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "POCKET", tmp_path)
    with pytest.raises(FileNotFoundError, match="make pocket"):
        load_encoder("pocket/mlm-bert")
    shutil.copytree(folders["bert"], tmp_path / "mlm-bert")
    assert models.pooling_of(load_encoder("pocket/mlm-bert")) == "mean"
    assert models.pooling_of(load_encoder("pocket/mlm-bert", pooling="cls")) == "cls"
    with pytest.raises(ValueError, match="did you mean pocket/mlm-bert"):
        load_encoder("pocket/mlm-bret")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c"])
def test_absent_folder(name):
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_encoder(name, pooling="mean")


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_generator(tmp_path)


def test_damaged_files_are_named(copy):
    folder = copy("t5")
    weights = (folder / "model.safetensors").read_bytes()
    for damaged in (weights[:-10], weights[:5], b"version https://git-lfs.github.com/spec/v1\n"):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(ModelUnavailable, match=r"model\.safetensors is damaged"):
            load_generator(folder)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match=r"config\.json is damaged"):
        load_generator(folder)


def test_a_missing_tokenizer_is_not_made_up(copy):
    folder = copy("t5")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelUnavailable, match="no tokenizer"):
        load_generator(folder)


def test_what_a_library_says_becomes_one_line(copy):
    folder = copy("t5")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="cannot be loaded") as caught:
        load_generator(folder)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(copy):
    folder = copy("bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="pickled"):
        load_encoder(folder, pooling="mean")


def test_a_model_with_its_own_code_is_refused(copy):
    folder = copy("llama")
    rewrite(folder / "config.json", model_type="mystery", auto_map={"AutoModel": "m.Mystery"})
    with pytest.raises(ModelUnavailable, match="own code"):
        load_generator(folder)


def _settings(file, **changes):
    return lambda folder: rewrite(folder / file, **changes)


def _text(file, text):
    return lambda folder: (folder / file).write_text(text)


def _weights_of(change):
    def spoil(folder):
        from safetensors.torch import load_file, save_file

        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    return spoil


INDEX, CONFIG = "model.safetensors.index.json", "config.json"


@pytest.mark.parametrize(
    "spoil, said",
    {
        "a number as text": (_settings(CONFIG, hidden_size="16"), "expected int, got str"),
        "a number that overflows": (_settings(CONFIG, hidden_size=10**30), "cannot be loaded"),
        "a negative number": (_settings(CONFIG, vocab_size=-1), "cannot be loaded"),
        "another width": (_settings(CONFIG, hidden_size=32), "weights have other shapes"),
        "a list for a name": (_settings(CONFIG, model_type=["bert"]), "names no architecture"),
        "no settings": (_text(CONFIG, "[]"), "holds a list, wanted a dict"),
        "a tokenizer that is none": (_text("tokenizer.json", "[]"), "tokenizer.json is damaged"),
        "settings of it": (_text("tokenizer_config.json", "[]"), "is damaged"),
        "a limit as text": (_settings("tokenizer_config.json", model_max_length="9"), "cannot be"),
        "a limit below 1": (_settings("tokenizer_config.json", model_max_length=-5), "is -5"),
        "no weights": (_weights_of(lambda held: {}), "has no weights"),
        "one weight less": (
            _weights_of(lambda held: {k: v for k, v in held.items() if "query.weight" not in k}),
            "lacks 2 of its weights",
        ),
        "foreign weights": (
            _weights_of(lambda held: {"x": next(iter(held.values()))}), "lacks 37 of its weights",
        ),
        "an index of nothing": (_text(INDEX, "{}"), "index.json is damaged"),
        "an index of an absent shard": (
            _text(INDEX, '{"weight_map": {"a": "model-00001.safetensors"}}'), "incomplete",
        ),
        "an index that leads away": (
            _text(INDEX, '{"weight_map": {"a": "../model.safetensors"}}'), "index.json is damaged",
        ),
        "modules that are none": (_text("modules.json", "[3]"), "modules.json is damaged"),
        "an empty list of modules": (_text("modules.json", "[]"), "modules.json is damaged"),
        "modules without a path": (_text("modules.json", '[{"type": "x"}]'), "json is damaged"),
        "a damaged generation_config": (_text("generation_config.json", "{"), "is damaged"),
    }.values(),
)  # fmt: skip
def test_whatever_is_wrong_with_a_folder_is_one_line(copy, spoil, said):
    folder = copy("bert")
    spoil(folder)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        load_encoder(folder, pooling="mean")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_an_adapter_is_no_model(copy):
    folder = copy("llama")
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    for load in (load_generator, lambda name: load_encoder(name, pooling="mean")):
        with pytest.raises(ModelUnavailable, match="an adapter for some/base.*merge_and_unload"):
            load(folder)


@pytest.mark.parametrize("kind", ["bert", "nli", "llama"])
def test_the_tokenizer_of_another_model_is_refused(copy, kind):
    folder = copy(kind)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"word{i}": 22 + i for i in range(30)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    load = {"bert": lambda f: load_encoder(f, pooling="mean"), "nli": load_nli}
    with pytest.raises(ModelUnavailable, match="knows 52 tokens and the model 22"):
        load.get(kind, load_generator)(folder)


def test_padding_is_found_for_every_kind(folders, tmp_path):
    """As load_generator does: of encoders and of causal classifiers too."""
    import transformers

    encoder = load_encoder(folders["gpt2"], pooling="mean")
    assert encoder.tokenizer.pad_token == "</s>"
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-6)

    labels = dict(enumerate(models.NLI_LABELS))
    for kind in ("GPT2", "Llama"):
        sizes = dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=2)
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=22, bos_token_id=None, eos_token_id=1, id2label=labels, **sizes
        )
        folder = tmp_path / kind
        getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(folder)
        tiny_models.tokenizer("causal").save_pretrained(folder)
        model, tokenizer = load_nli(folder)
        assert model.config.pad_token_id == tokenizer.pad_token_id == 1


def test_padding_is_no_token_that_texts_end_in(copy):
    """A classifier reads its answer at the last token that is no padding."""
    folder = copy("llama")
    tiny_models.tokenizer("t5").save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_generator(folder)[1].pad_token == "<unk>"


def test_a_file_is_no_folder(folders):
    with pytest.raises(ValueError, match="is a file; give the folder"):
        load_generator(str(folders["llama"] / "config.json"))
    for name in (None, 7):
        with pytest.raises(ValueError, match="by its name or its folder"):
            load_generator(name)


@pytest.mark.parametrize(
    "name, near",
    {"runs/mine2": "runs/mine", "rusn/mine": "runs/mine", "pockets/nli": "pocket/nli"}.items(),
)
def test_a_mistyped_name_of_two_parts(folders, hub, monkeypatch, tmp_path, caplog, name, near):
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders["bert"], tmp_path / "runs" / "mine")
    with pytest.raises(ModelUnavailable, match=f"no model '{name}'.*did you mean {near}"):
        load_generator(name)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match=f"no folder {name}.*did you mean {near}") as caught:
        load_generator(name)
    assert "\n" not in str(caught.value) and not caplog.records
    with pytest.raises(FileNotFoundError, match="did you mean runs/mine"):
        load_encoder("./runs/mien", pooling="mean")


def test_shards_are_counted_and_checked(folders, tmp_path):
    import transformers

    model = transformers.T5ForConditionalGeneration.from_pretrained(folders["t5"])
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    tiny_models.tokenizer("t5").save_pretrained(tmp_path)
    assert len(models.weight_files(tmp_path)) > 1
    assert models.number_count(tmp_path) == models.number_count(folders["t5"])
    load_generator(tmp_path)
    models.weight_files(tmp_path)[-1].unlink()
    with pytest.raises(ModelUnavailable, match="incomplete"):
        load_generator(tmp_path)


def test_too_large_a_model(folders, monkeypatch):
    monkeypatch.setattr(models, "free_bytes", lambda device: 10_000)
    for load, kind in ((load_generator, "llama"), (load_nli, "nli")):
        with pytest.raises(ModelUnavailable, match="needs about .* free on cpu"):
            load(folders[kind])
    with pytest.raises(ModelUnavailable, match="needs about"):
        load_encoder(folders["bert"], pooling="mean")


# ---------------------------------------------------------------- the hub


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as a download needs, over the folders of this module."""

    sha = "0123456789abcdef0123456789abcdef01234567"
    repositories: dict = {}

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def say(self, content):
        self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0].replace("%2F", "/")
        for name, repository in self.repositories.items():
            if path.startswith(f"/api/models/{name}/discussions"):
                pull = dict(
                    num=4, title="Adding `safetensors` variant of this model", isPullRequest=True,
                    status="open", repo=dict(name=name, type="model"),
                    author=dict(name="SFconvertbot"), createdAt="2024-01-01T00:00:00.000Z",
                )  # fmt: skip
                return self.say(dict(discussions=[pull], count=1, start=0))
            if path.startswith(f"/api/models/{name}"):
                if repository.get("hidden"):
                    return self.answer(404, X_Error_Code="RepoNotFound")
                main = path.endswith((name, "/main")) and repository.get("pickled_on_main")
                files = [
                    str(file.relative_to(repository["folder"]))
                    for file in repository["folder"].rglob("*")
                    if file.is_file() and not (main and file.suffix == ".safetensors")
                ]
                siblings = [dict(rfilename=file) for file in [*files, "onnx/model.onnx"]]
                info = dict(id=name, sha=self.sha, siblings=siblings, tags=[], private=False)
                if "total" in repository:
                    info["safetensors"] = dict(
                        parameters=dict(F32=repository["total"]), total=repository["total"]
                    )
                if "/tree/" in path:
                    entries = [
                        dict(type="file", path=file, size=size, oid=file)
                        for file in files
                        for size in [(repository["folder"] / file).stat().st_size]
                    ]
                    return self.say(entries)
                return self.say(info)
            if path.startswith(f"/{name}/resolve/{self.sha}/"):
                if repository.get("gated"):
                    return self.answer(403, X_Error_Code="GatedRepo")
                file = repository["folder"] / path.partition(self.sha + "/")[2]
                return self.answer(
                    200, file.read_bytes(), ETag=f'"{file.name}"', X_Repo_Commit=self.sha
                )
        self.answer(404, X_Error_Code="RepoNotFound")


@pytest.fixture
def hub(folders, monkeypatch, tmp_path):
    """A hub on this machine and an empty cache; yields the repositories it serves."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
    )  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    Hub.repositories = {}
    yield Hub.repositories
    server.shutdown()
    server.server_close()


def test_a_hub_model_is_downloaded_and_then_found_offline(folders, hub, monkeypatch, tmp_path):
    from huggingface_hub import constants

    hub["someone/tiny-t5"] = dict(folder=folders["t5"], total=models.number_count(folders["t5"]))
    model, _ = load_generator("someone/tiny-t5")
    assert model.config.is_encoder_decoder
    assert not list((tmp_path / "cache").rglob("*.onnx"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert models.cached("someone/tiny-t5") is not None
    load_generator("someone/tiny-t5")


def test_an_adapter_and_its_base_from_the_hub(folders, hub, monkeypatch, tmp_path):
    from huggingface_hub import constants

    adapter = tiny_models.save_adapter(tmp_path / "adapter", folders["bert-pooler"])
    about = json.loads((adapter / "adapter_config.json").read_text())
    about["base_model_name_or_path"] = "someone/base"
    (adapter / "adapter_config.json").write_text(json.dumps(about))
    hub["someone/base"] = dict(folder=folders["bert-pooler"])
    hub["someone/adapter"] = dict(folder=adapter)
    model, _ = load_nli("someone/adapter", device="cpu")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again, _ = load_nli("someone/adapter", device="cpu")
    assert torch.equal(model.classifier.weight, again.classifier.weight)
    assert models.cached("someone/adapter") is not None
    (models.cached("someone/adapter") / "adapter_model.safetensors").unlink()
    assert models.cached("someone/adapter") is None  # a part of it is no adapter


def test_safetensors_from_the_conversion_pull_request(folders, hub):
    hub["someone/old-bert"] = dict(folder=folders["bert"], pickled_on_main=True)
    assert load_encoder("someone/old-bert", pooling="cls").encode(TEXTS).shape == (2, 16)


def test_no_safetensors_anywhere(copy, hub):
    folder = copy("bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub["someone/pickled"] = dict(folder=folder)
    with pytest.raises(ModelUnavailable, match="no safetensors weights"):
        load_encoder("someone/pickled", pooling="cls")


def test_gated(folders, hub):
    hub["someone/gated"] = dict(folder=folders["llama"], gated=True)
    with pytest.raises(ModelUnavailable, match="gated: accept its terms"):
        load_generator("someone/gated")


def test_misspelt_on_the_hub(hub):
    with pytest.raises(ModelUnavailable, match="there is no model 'someone/tiny-t6'"):
        load_generator("someone/tiny-t6")


def test_too_large_is_said_before_the_download(folders, hub, tmp_path):
    hub["someone/huge"] = dict(folder=folders["llama"], total=10**15)
    with pytest.raises(ModelUnavailable, match="needs about"):
        load_generator("someone/huge")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_unreachable_hub(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        load_generator("someone/tiny-t5")


def test_offline(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match="go online once"):
        load_generator("google/flan-t5-small")


def test_not_a_name_at_all(hub):
    for name in ("two words", "trailing-"):
        with pytest.raises(ValueError, match="is not a model name"):
            load_generator(name)


# ---------------------------------------------------------------- saving


def test_encoders_that_we_write_provoke_no_warning(folders, monkeypatch, caplog, tmp_path):
    """The library warns of whatever a newer version has written; ours say no version."""
    from sentence_transformers.base import model as library

    load_encoder(folders["bert"], pooling="mean").save_pretrained(str(tmp_path / "saved"))
    monkeypatch.setattr(library, "__version__", "5.4.0")
    names = [name for name in models.POCKET_MODELS if "simcse" in name]
    for name in (*names, tmp_path / "saved"):
        encoder = load_encoder(name)
        assert np.isfinite(encoder.encode("a dog runs .")).all()
    assert not [r for r in caplog.records if "version" in r.getMessage()]
    held = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    assert held["model_type"] == "SentenceTransformer"  # anybody's library reads it
    held["__version__"]["sentence_transformers"] = "6.2.0"  # what would be said otherwise
    (tmp_path / "saved" / "config_sentence_transformers.json").write_text(json.dumps(held))
    load_encoder(tmp_path / "saved")
    assert [r for r in caplog.records if "version 6.2.0" in r.getMessage()]
