"""Each option of a run is declared once, and what follows from it agrees with what it is for."""

import dataclasses
import importlib
import inspect

import pytest

from synthlib import commands, losses, options, tiers
from synthlib.methods import ranking

RUNS = {"multicsr": options.MultiCSR, "ranking": options.Ranking, "art": options.ART}
EACH = [(run, name) for run, of in RUNS.items() for name in options.declared(of)]


def module(run):
    return importlib.import_module(f"synthlib.runs.{run}")


def declared(run, name):
    return options.declared(RUNS[run])[name]


@pytest.mark.parametrize(("run", "name"), EACH)
def test_an_option_names_a_setting_of_the_tier_and_has_its_source(run, name):
    one, of = declared(run, name), RUNS[run]
    settings = {field.name: field for field in dataclasses.fields(of.tier_settings)}
    if one.setting:
        assert one.source == settings[one.setting].metadata["source"] and one.default is None
    else:  # of the same name: how another encoder pools, and where premises come from
        assert name not in settings or name in ("pooling", "premises")
    assert one.help and not one.help.endswith(".")


@pytest.mark.parametrize("run", RUNS)
def test_docstrings_and_signatures_name_every_option(run):
    names = set(options.declared(RUNS[run]))
    for function in (module(run).run, module(run).describe, module(run).make_plan):
        assert names <= set(inspect.signature(function).parameters), function
    said = module(run).run.__doc__
    assert "{" not in said.partition("Parameters")[2].partition("Returns")[0]
    assert [name for name in names if f"\n    {name} : " not in said] == []


@pytest.mark.parametrize("run", RUNS)
def test_what_makes_a_step_stale_stands_in_run_json(run):
    of, make = RUNS[run], module(run).make_plan
    known = {field.name for field in dataclasses.fields(of.tier_settings)}
    known |= {name for name, one in options.declared(of).items() if one.identity}
    known |= {field.name for field in dataclasses.fields(make())} | {"bf16"}  # an older version's
    assert set(options.steps_of(of)) <= known


@pytest.mark.parametrize(
    ("run", "name"), [(run, name) for run, name in EACH if declared(run, name).range]
)
def test_a_range_refuses_what_is_outside_of_it_and_takes_its_ends(run, name):
    within, make = declared(run, name).range, module(run).make_plan
    outside = [float("nan"), float("inf")]
    outside += [within.low if within.above else within.low - 1] * (within.low > -1e300)
    outside += [within.high if within.below else within.high + 1] * (within.high < 1e300)
    for value in outside + [1.5] * within.whole:
        assert value not in within
        with pytest.raises(ValueError, match=f"^{name} (must|is) "):
            make(**{name: value})
    for value, is_in in ((within.low, not within.above), (within.high, not within.below)):
        assert (value in within) == (is_in and abs(value) < 1e300)


@pytest.mark.parametrize("run", RUNS)
def test_the_temperature_of_the_contrast_reaches_the_training(run):
    make, own = module(run).make_plan, getattr(tiers.get(), run).tau
    found = vars(getattr(commands, run)().parse_args(["--out=x", "--tau=0.2"]))
    plan = make(**{name: found[name] for name in options.declared(RUNS[run])})
    assert plan.settings.tau == plan.tau == 0.2 and make().tau == own
    assert options.steps_of(RUNS[run])["tau"] == "trained"
    for value in (0, -0.1):
        with pytest.raises(ValueError, match=f"tau must be positive, got {float(value)}"):
            make(tau=value)


def test_the_words_of_ranking_are_the_stages_own():
    all_of = options.declared(options.Ranking)
    assert all_of["method"].choices == ranking.METHODS
    assert all_of["mode"].choices == ranking.MODES
    assert all_of["variant"].choices == losses.REFINEMENTS
    for omega in ("adaptive", 0, 0.5, -1, float("nan"), "much"):  # as the stage itself refuses
        one = all_of["omega"]
        if omega in one.words or omega in one.range:
            assert omega == "adaptive" or ranking.check_omega(omega) is None
        else:
            with pytest.raises(ValueError, match=f"omega {one.range.says}, got"):
                ranking.check_omega(omega)


def test_how_the_encoder_pools_is_part_of_the_run():
    """Beside the tier's setting of that name, which holds where nothing is given."""
    from synthlib.runs import plans

    make = module("multicsr").make_plan
    assert plans.identity(make())["pooling"] == tiers.get().multicsr.pooling != "cls"
    assert plans.identity(make(pooling="cls"))["pooling"] == "cls"
    assert options.steps_of(options.MultiCSR)["pooling"] == "trained"
