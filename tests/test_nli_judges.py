"""NLI judges of real language: adapters that load, scores by them, and runs that use them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from synthlib import judging, models, weights
from synthlib.methods import multicsr
from synthlib.runs import multicsr as multicsr_run
from synthlib.runs import named, shards

RNG = np.random.default_rng(0)
WORDS = tiny_models.WORDS
PAIRS = [
    (" ".join(RNG.choice(WORDS, RNG.integers(2, 9))), " ".join(RNG.choice(WORDS, 4)))
    for _ in range(23)
]
LABELS = tiny_models.LABELS


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    root = tmp_path_factory.mktemp("judges")
    tiny_models.save(root / "bert", "bert-pooler", seed=2, dropout=0.0, initializer_range=0.6)
    with models.quiet():
        models.load_encoder(root / "bert", pooling="mean").save_pretrained(str(root / "encoder"))
    tiny_models.save(root / "t5", "t5", seed=3)
    tiny_models.save(root / "nli", "nli", initializer_range=1.0)
    tiny_models.save_adapter(root / "adapter", root / "bert")
    return root


@pytest.fixture
def copy(here, tmp_path):
    return lambda name="adapter": shutil.copytree(here / name, tmp_path / name)


@torch.no_grad()
def by_hand(base, adapter, pairs):
    """Probabilities of entailment, neutral, contradiction, a pair at a time, nothing merged."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with models.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(base, id2label=LABELS)
        model = PeftModel.from_pretrained(model, str(adapter)).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = []
    for premise, hypothesis in pairs:
        p = model(**tokenizer(premise, hypothesis, return_tensors="pt")).logits.softmax(-1)[0]
        rows.append([p[1].item(), p[2].item(), p[0].item()])
    return np.array(rows)


# ------------------------------------------------------------------ loading
def test_an_adapter_loads_as_a_model_of_its_own(here):
    expected = by_hand(here / "bert", here / "adapter", PAIRS)
    assert expected.std(axis=0).min() > 0.05  # it has opinions
    before = torch.random.get_rng_state()
    model, tokenizer = models.load_nli(here / "adapter", device="cpu")
    assert torch.equal(before, torch.random.get_rng_state()), "others draw what they drew before"
    assert not model.training and not isinstance(model, PeftModel)
    assert dict(model.config.id2label) == LABELS
    found = judging.nli_probabilities(model, tokenizer, PAIRS, batch_size=5)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    single = [judging.nli_probabilities(model, tokenizer, [pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(found, single, atol=1e-6)
    half, _ = models.load_nli(here / "adapter", device="cpu", dtype="bfloat16")
    assert half.dtype == torch.bfloat16


def test_the_base_may_be_a_sentence_encoder_a_laptop_name_or_know_the_labels(
    here, tmp_path, monkeypatch
):
    # MiniLM comes in sentence-transformers' format, under a name of ours
    encoder = shutil.copytree(here / "encoder", tmp_path / "laptop" / "all-minilm-l6-v2")
    (encoder / "origin.json").write_text("{}")
    adapter = tiny_models.save_adapter(
        tmp_path / "adapter", here / "bert", modules_to_save=["pooler"], target_modules=["query"]
    )
    expected = by_hand(here / "bert", adapter, PAIRS)
    about = json.loads((adapter / "adapter_config.json").read_text())
    about["base_model_name_or_path"] = "laptop/all-minilm-l6-v2"
    (adapter / "adapter_config.json").write_text(json.dumps(about))
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path))
    found = judging.nli_probabilities(*models.load_nli(adapter, device="cpu"), PAIRS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # no config.json: the labels are the base's, in whose order the head was trained
    own = tiny_models.save_adapter(tmp_path / "own", here / "nli", beside=False)
    model, tokenizer = models.load_nli(own, device="cpu")
    assert model.config.id2label == {0: "contradiction", 1: "entailment", 2: "neutral"}
    found = judging.nli_probabilities(model, tokenizer, PAIRS)
    np.testing.assert_allclose(found, by_hand(here / "nli", own, PAIRS), atol=1e-5)


def test_half_precision_numbers_of_an_adapter_are_added_in_full(here, copy):
    folder = copy()
    file = folder / "adapter_model.safetensors"
    halves = {key: value.half() for key, value in load_file(file).items()}
    save_file(halves, file, metadata={"format": "pt"})
    expected = by_hand(here / "bert", folder, PAIRS)
    found = judging.nli_probabilities(*models.load_nli(folder, device="cpu"), PAIRS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _without(file, *parts):
    kept = {k: v for k, v in load_file(file).items() if not any(part in k for part in parts)}
    save_file(kept, file, metadata={"format": "pt"})


def _spoil(folder):
    file = folder / "adapter_model.safetensors"
    numbers = load_file(file)
    next(value for key, value in numbers.items() if "lora_B" in key).fill_(float("nan"))
    save_file(numbers, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x"), "is damaged"),
        (lambda f: _without(f / "adapter_model.safetensors", "classifier"), "lacks 2 of its weig"),
        (lambda f: _without(f / "adapter_model.safetensors", "layer.1."), "lacks .* of its weig"),
        (_spoil, "holds NaN or infinity in 1 of its weights"),
        (lambda f: (f / "config.json").unlink(), "put the config.json of its training, with id2la"),
        (lambda f: _edit(f / "config.json", id2label={0: "yes", 1: "no"}), "found yes, no"),
        (lambda f: _edit(f / "adapter_config.json", peft_type="IA3"), "kind IA3 .*merge_and_unl"),
        (lambda f: _edit(f / "adapter_config.json", task_type="CAUSAL_LM"), "for CAUSAL_LM, want"),
        (lambda f: _edit(f / "adapter_config.json", base_model_name_or_path=None), "names no mod"),
        (lambda f: _edit(f / "adapter_config.json", base_model_name_or_path="./gone"), "no folder"),
        (lambda f: _edit(f / "adapter_config.json", r=3), "cannot be loaded"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_adapter_is_one_line(copy, damage, said):
    folder = copy()
    damage(folder)
    with pytest.raises((ValueError, OSError), match=said) as caught:
        models.load_nli(folder, device="cpu")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_labels_beside_an_adapter(here, copy):
    folder = copy()
    beside = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="put the config.json of its training"):
        models.load_nli(folder, device="cpu")
    (folder / "config.json").write_text(beside)
    models.load_nli(folder, device="cpu")


def test_an_adapter_of_a_larger_model_is_refused(here, copy):
    tiny_models.save(here / "one-layer", "bert-pooler", num_hidden_layers=1, num_attention_heads=2)
    folder = copy()
    _edit(folder / "adapter_config.json", base_model_name_or_path=str(here / "one-layer"))
    with pytest.raises(OSError, match="has no place for .* another model's adapter"):
        models.load_nli(folder, device="cpu")


def test_no_code_is_run_and_no_pickle_read(copy, monkeypatch):
    folder = copy()
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    _edit(folder / "adapter_config.json", megatron_config={}, megatron_core="this")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("a pickle is read"))
    import sys

    sys.modules.pop("this", None)
    models.load_nli(folder, device="cpu")
    assert "this" not in sys.modules
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(OSError, match="which writes safetensors"):
        models.load_nli(folder, device="cpu")


def test_an_adapter_is_still_no_encoder_and_no_generator(here):
    for load in (models.load_generator, lambda name: models.load_encoder(name, pooling="mean")):
        with pytest.raises(OSError, match="an adapter for .*merge_and_unload"):
            load(here / "adapter")


def test_the_laptops_judges_by_name(here, tmp_path, monkeypatch):
    place = tmp_path / "judges" / "judge"
    monkeypatch.setattr(weights, "JUDGES", {"laptop/judge": place})
    for look in (models.load_nli, named.at_hand):
        with pytest.raises(FileNotFoundError, match="train it .make field-judges") as caught:
            look("laptop/judge")
        assert "name another NLI model (--judge" in str(caught.value)
        assert str(place) in str(caught.value)
    assert models.place("laptop/judge")[0] is None
    with pytest.raises(ValueError, match="there are laptop/smollm2.*laptop/judge"):
        models.load_nli("laptop/juge")
    tiny_models.save_adapter(place, here / "bert")
    assert models.place("laptop/judge")[0] == place == named.at_hand("laptop/judge")
    found = judging.nli_probabilities(*models.load_nli("laptop/judge", device="cpu"), PAIRS)
    np.testing.assert_allclose(found, by_hand(here / "bert", place, PAIRS), atol=1e-5)
    # the base that is not here: said before anything is loaded
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "empty"))
    _edit(place / "adapter_config.json", base_model_name_or_path="laptop/all-minilm-l6-v2")
    for role in ("judge", "discriminator"):
        with pytest.raises(OSError, match="laptop/all-minilm-l6-v2 is not on this .* models get"):
            named.check_models({role: "laptop/judge"})


def test_a_fingerprint_is_that_of_adapter_and_base(here, tmp_path):
    base = shutil.copytree(here / "bert", tmp_path / "base")
    folder = tiny_models.save_adapter(tmp_path / "adapter", base)
    seen = [named.fingerprint(folder)]
    tiny_models.save(base, "bert-pooler", seed=9)
    seen.append(named.fingerprint(folder))
    tiny_models.save_adapter(folder, base, seed=1)
    seen.append(named.fingerprint(folder))
    assert len(set(seen)) == 3 and all(seen)


# ------------------------------------------------------------------ scores
def slowly(model, tokenizer, pairs):
    """5·(P(entailment) + ½·P(neutral)) from the logits, a pair at a time, labels by name."""
    scores = []
    for pair in pairs:
        with torch.no_grad():
            logits = model(**tokenizer(*pair, return_tensors="pt")).logits[0].tolist()
        exp = {model.config.id2label[i].lower(): np.exp(x) for i, x in enumerate(logits)}
        share = exp["entailment"] / sum(exp.values()) + exp["neutral"] / sum(exp.values()) / 2
        scores.append(5 * share)
    return scores


def test_scores_equal_a_slow_loop_alone_and_in_batches(here):
    judge = models.load_nli(here / "adapter", device="cpu")
    pairs = [*PAIRS, PAIRS[0], PAIRS[3][::-1]]
    expected = slowly(*judge, pairs)
    assert np.std(expected) > 0.3
    for size in (1, 4, 64):
        found = judging.nli_similarity(*judge, pairs, batch_size=size)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = [judging.nli_similarity(*judge, [pair])[0] for pair in pairs]
    np.testing.assert_allclose(alone, expected, atol=1e-5)
    assert judging.nli_similarity(*judge, []) == []
    with pytest.raises(ValueError, match="texts with words"):
        judging.nli_similarity(*judge, [("a man", " ")])


def test_the_ends_of_the_scale(here):
    model, tokenizer = models.load_nli(here / "adapter", device="cpu")
    model.classifier.weight.data.zero_()
    for label, score in (("ENTAILMENT", 5), ("neutral", 2.5), ("Contradiction", 0)):
        column = {name: i for i, name in LABELS.items()}[label]
        model.classifier.bias.data = 50.0 * torch.eye(3)[column]
        assert judging.nli_similarity(model, tokenizer, PAIRS[:1]) == [pytest.approx(score)]


def test_a_triplet_that_cannot_be_judged_has_no_score(here):
    judge = models.load_nli(here / "adapter", device="cpu")
    table = pd.DataFrame({
        "anchor": ["a man runs", "the cat", "a dog " * 30, "two"],
        "positive": ["the man runs", " ", "a cat", "a"],
        "negative": ["not a man", "the dog", "", "the"],
    })  # fmt: skip
    found = multicsr.judge(judge, table, method="nli", batch_size=2)
    assert found[["a", "b"]].isna().to_numpy().tolist() == [
        [False, False], [True, False], [True, True], [False, False],
    ]  # fmt: skip
    whole = [(0, "positive", "a"), (0, "negative", "b"), (1, "negative", "b"), (3, "positive", "a")]
    pairs = [(table["anchor"][i], table[text][i]) for i, text, _ in whole]
    np.testing.assert_allclose([found[c][i] for i, _, c in whole], slowly(*judge, pairs), atol=1e-5)


# ------------------------------------------------------------------ runs
@pytest.fixture
def options(here, tmp_path):
    sentences = [" ".join(RNG.choice(WORDS, RNG.integers(3, 7))) for _ in range(24)]
    (tmp_path / "premises.txt").write_text("\n".join(sentences))
    (tmp_path / "data" / "STS").mkdir(parents=True)
    return dict(
        tier="paper", premises=str(tmp_path / "premises.txt"), generator=str(here / "t5"),
        encoder=str(here / "bert"), guide=str(here / "encoder"), pooling="mean", until="kept",
        scoring="nli", judge=str(here / "adapter"), alpha=0, beta=5, gamma="-", omega=0.5,
        max_new_tokens=6, batch_size=4, max_steps=2, shard_size=7, device="cpu", quiet=True,
    )  # fmt: skip


def test_a_run_is_judged_by_the_nli_model(here, options, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "score_similarity", lambda *a, **k: pytest.fail("the generator"))
    result = multicsr_run.run(tmp_path / "run", **options)
    table = result.triplets().to_pandas()
    judge = models.load_nli(here / "adapter", device="cpu")
    for text, score in (("positive", "a"), ("negative", "b")):
        there = table[text].str.strip() != ""
        pairs = list(zip(table["anchor"][there], table[text][there], strict=True))
        np.testing.assert_allclose(table[score][there], slowly(*judge, pairs), atol=1e-5)
    said = multicsr_run.describe(tmp_path / "other", **{
        k: v for k, v in options.items() if k != "quiet"
    })  # fmt: skip
    assert f"scores nli by {here / 'adapter'}" in said and "judging" in said
    # triplets from elsewhere need no generator at all
    file = tmp_path / "given.jsonl"
    table[["anchor", "positive", "negative"]].to_json(file, orient="records", lines=True)
    given = {k: v for k, v in options.items() if k not in ("premises", "omega")}
    again = multicsr_run.run(
        tmp_path / "given", **given | dict(no_logits=str(file), generator="./no-such-folder")
    ).triplets().to_pandas()  # fmt: skip
    both = table.set_index(["anchor", "positive", "negative"])["a"].dropna()
    other = again.set_index(["anchor", "positive", "negative"])["a"].dropna()
    np.testing.assert_allclose(other[both.index].to_numpy(), both.to_numpy(), atol=1e-5)


def test_another_judge_judges_anew_and_nothing_is_written_anew(
    here, options, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    first = multicsr_run.run(folder, **options).triplets().to_pandas()
    monkeypatch.setattr(multicsr, "write", lambda *a, **k: pytest.fail("written anew"))
    with monkeypatch.context() as patch:
        patch.setattr(multicsr, "judge", lambda *a, **k: pytest.fail("judged anew"))
        multicsr_run.run(folder, **options)  # the same run
    other = multicsr_run.run(folder, **options | dict(judge=str(here / "nli")))
    assert "judged" in other.minutes and "judge" in capsys.readouterr().out
    assert not np.allclose(other.triplets().to_pandas()["a"], first["a"], equal_nan=True)
    # the same name with other weights is another judge
    mine = shutil.copytree(here / "adapter", tmp_path / "mine")
    multicsr_run.run(folder, **options | dict(judge=str(mine)))
    tiny_models.save_adapter(mine, here / "bert", seed=5)
    assert "judged" in multicsr_run.run(folder, **options | dict(judge=str(mine))).minutes


def test_who_is_not_asked_makes_no_other_run(here, options, tmp_path):
    text = options | dict(scoring="expected", stages=(1, 3), judge=None, alpha=None, beta=None)
    multicsr_run.run(tmp_path / "run", **text)
    assert "judge" not in json.loads((tmp_path / "run" / "run.json").read_text())
    with pytest.raises(ValueError, match="is for scoring nli, and the scoring is expected"):
        multicsr_run.run(tmp_path / "other", **options | dict(scoring="expected"))
    multicsr_run.make_plan(tier="pocket", scoring="nli", judge="pocket/nli")  # as it says
    multicsr_run.make_plan(tier="pocket", scoring="expected")
    with pytest.raises(ValueError, match="wanted one that ends in ForSequenceClassification"):
        multicsr_run.run(tmp_path / "other", **options | dict(judge=str(here / "bert")))
    with pytest.raises(OSError, match="no folder"):
        multicsr_run.run(tmp_path / "other", **options | dict(judge="./nowhere"))
    assert not (tmp_path / "other").exists()


def test_an_interrupted_judge_ends_with_the_same_bytes(options, tmp_path, monkeypatch):
    whole = multicsr_run.run(tmp_path / "whole", **options)
    real, seen = multicsr.judge, []

    def stop(*a, **k):
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(*a, **k)

    monkeypatch.setattr(multicsr, "judge", stop)
    with pytest.raises(KeyboardInterrupt):
        multicsr_run.run(tmp_path / "run", **options)
    assert not shards.whole(tmp_path / "run" / "judged", 24, 7)
    monkeypatch.setattr(multicsr, "judge", real)
    multicsr_run.run(tmp_path / "run", **options)
    for name in ("triplets.parquet", "kept.parquet", "report.json", "run.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_no_pair_fits_the_judge(here, options, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "nli_similarity", lambda *a, **k: [None] * len(a[2]))
    with pytest.raises(ValueError, match="no pair fits the judge's window: take a --judge with"):
        multicsr_run.run(tmp_path / "run", **options)
    monkeypatch.undo()
    monkeypatch.setattr(multicsr, "write", lambda *a, **k: pytest.fail("written anew"))
    assert multicsr_run.run(tmp_path / "run", **options | dict(judge=str(here / "nli")))


def test_the_pipeline_is_judged_by_the_model_that_is_given(here, options, monkeypatch):
    settings = multicsr_run.make_plan(**{k: v for k, v in options.items() if k != "quiet"}).settings
    monkeypatch.setattr(multicsr, "train", lambda *a, **k: None)
    sentences = [premise for premise, _ in PAIRS[:6]]
    judge = models.load_nli(here / "adapter", device="cpu")
    table = multicsr.pipeline(
        models.load_generator(here / "t5", device="cpu"), sentences, None, settings, nli=judge
    )
    pairs = list(zip(table["anchor"], table["positive"], strict=True))
    np.testing.assert_allclose(table["a"], slowly(*judge, pairs), atol=1e-5)
