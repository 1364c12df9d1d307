"""The presets: complete, frozen, with sources, and true to what the papers print."""

import dataclasses

import pytest

from synthlib import data, models, tiers, weights

METHODS = ("simcse_unsupervised", "simcse_supervised", "multicsr", "art", "ranking")


def test_get(monkeypatch):
    monkeypatch.delenv("SYNTHLIB_TIER", raising=False)
    assert tiers.get().name == "pocket"
    assert [tiers.get(name).name for name in tiers.NAMES] == list(tiers.NAMES)
    monkeypatch.setenv("SYNTHLIB_TIER", "colab")
    assert tiers.get().name == "colab" and tiers.get("paper").name == "paper"


def test_unknown_tier_names_the_choices(monkeypatch):
    with pytest.raises(ValueError, match="pocket, laptop, colab, paper, got 'cloud'"):
        tiers.get("cloud")
    monkeypatch.setenv("SYNTHLIB_TIER", "Pocket")
    with pytest.raises(ValueError, match="SYNTHLIB_TIER must be one of"):
        tiers.get()


def test_tiers_are_frozen():
    tier = tiers.get("pocket")
    with pytest.raises(dataclasses.FrozenInstanceError):
        tier.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        tier.multicsr.omega = 1.0


@pytest.mark.parametrize(
    "method, setting, printed",
    [
        ("multicsr", "omega", 0.3),  # §4.1
        ("multicsr", "alpha", 3), ("multicsr", "beta", 3), ("multicsr", "gamma", 1),
        ("multicsr", "batch_size", 256), ("multicsr", "tau", 0.05), ("multicsr", "sigma", 0.9),
        ("art", "lora_r", 16), ("art", "lora_alpha", 32),  # §4.1.2
        ("art", "kl", 0.2), ("art", "learning_rate", 1.41e-5), ("art", "w1", 0.5),
        ("art", "w2", 0.5), ("art", "encoder_epochs", 2), ("art", "tau", 0.05),
        ("art", "anchors", 20_000), ("art", "rounds", 3),  # §4.1.1, §4.1.3
        ("ranking", "clusters", 1000), ("ranking", "per_cluster", 20), ("ranking", "steps", 32),
        ("ranking", "lam", 0.5), ("ranking", "omega", 0.5),  # 1 + λ = 1.5; Appendix C
    ],
)  # fmt: skip
def test_paper_tier_has_the_printed_values(method, setting, printed):
    assert getattr(getattr(tiers.get("paper"), method), setting) == printed


def test_ppo_steps_are_one_pass_over_the_anchors():
    art = tiers.get("paper").art
    assert art.ppo_steps * art.ppo_batch_size == art.anchors


def test_pocket_needs_no_download_and_colab_no_permission():
    pocket = tiers.table().query("tier == 'pocket'")
    wanted = ("generator", "discriminator", "encoder", "guide", "teacher")
    names = pocket[pocket.setting.isin(wanted)].value
    assert len(names) == 11 and set(names) <= set(models.POCKET_MODELS)
    assert not tiers.get("pocket").downloads and tiers.get("colab").downloads
    colab = tiers.table().query("tier == 'colab'")
    assert not [name for name in colab.value if str(name).startswith("meta-llama/")]


def test_laptop_names_models_that_come_without_an_account_and_no_data_set_but_labelled_ones():
    table = tiers.table().query("tier == 'laptop'")
    roles = ("generator", "judge", "discriminator", "encoder", "guide", "teacher")
    names = set(table[table.setting.isin(roles)].value)
    known = {entry.name for entry in weights.LAPTOP}
    assert names - known <= {"laptop/judge"} and known <= names
    laptop = tiers.get("laptop")
    assert not laptop.downloads and not laptop.gpu
    for method in METHODS:
        corpus = getattr(laptop, method).corpus
        assert (corpus == tiers.CAPTIONS) == (method != "simcse_supervised")
    found, rejects = data.load_premises(tiers.CAPTIONS)
    assert len(found) == len(set(found)) == 120 == laptop.multicsr.premises and rejects.empty
    assert found[0] == "A man is riding a bicycle along the river."
    assert set(data.read_premises(tiers.CAPTIONS, n=3)[0]["file"]) == {tiers.CAPTIONS.name}
    assert laptop.art.rounds * laptop.art.anchors <= 120 >= laptop.ranking.clusters * 2
    with pytest.raises(ValueError, match="holds sentences and no labelled triplets"):
        data.load_labelled(tiers.CAPTIONS)


@pytest.mark.parametrize("name", tiers.NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_steps_or_epochs(name, method):
    settings = getattr(tiers.get(name), method)
    if hasattr(settings, "max_steps"):
        assert (settings.max_steps is None) != (settings.epochs is None)
    if hasattr(settings, "pooling"):
        assert settings.pooling in models.POOLINGS


def test_table_covers_every_setting_with_a_source():
    table = tiers.table()
    columns = ["tier", "method", "setting", "value", "source", "as_paper", "why"]
    assert list(table.columns) == columns
    counts = table.groupby("tier").size()
    assert set(counts.index) == set(tiers.NAMES) and counts.nunique() == 1
    assert set(table.method) == set(METHODS)
    assert table.source.str.len().min() > 5
    assert table.query("tier == 'paper'").as_paper.all()
    row = table.query("tier == 'pocket' and method == 'multicsr' and setting == 'omega'")
    assert row.as_paper.item() and "§4.1" in row.source.item()


def test_every_departure_has_a_reason_and_nothing_else_has():
    table = tiers.table()
    departs = table[~table.as_paper]
    assert len(departs) > 50 and set(departs.tier) == {*tiers.NAMES} - {"paper"}
    silent = departs[departs.why.str.len() < 5]
    assert silent.empty, silent[["tier", "method", "setting"]].to_string()
    assert (table[table.as_paper].why == "").all()


def test_the_numbers_in_reasons_are_those_of_the_settings():
    colab, paper = tiers.get("colab"), tiers.get("paper")
    steps = colab.simcse_supervised.sentences // colab.simcse_supervised.batch_size
    fewer = colab.simcse_supervised.sentences // paper.simcse_supervised.batch_size
    why = tiers.table().query("tier == 'colab'").set_index(["method", "setting"])["why"]
    assert why["simcse_supervised", "batch_size"].endswith(f"{steps} steps instead of {fewer}")
    words = f"{colab.art.ppo_steps} steps instead of {paper.art.ppo_steps}"
    assert why["art", "learning_rate"].endswith(words)
    for few in (tiers.get("pocket").ranking, tiers.get("laptop").ranking):
        assert few.steps * few.lists_per_step == paper.ranking.steps
    laptop = tiers.get("laptop").multicsr
    assert f"kept of {laptop.premises} premises" in tiers.table().query(
        "tier == 'laptop' and method == 'multicsr' and setting == 'batch_size'"
    ).why.item()
