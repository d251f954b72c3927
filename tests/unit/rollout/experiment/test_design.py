import pytest

from homeostat.domain.arms import allot
from homeostat.rollout.experiment.design import Experiment, Kind, Metric, Role

PAID = Metric("paid", Kind.CONVERSION)


def test_a_version_gets_a_tenth_unless_told_otherwise() -> None:
    three = Experiment("x", ("a", "b", "c"), (PAID,), 10_000)
    assert three.share_of == {"a": 0.8, "b": 0.1, "c": 0.1}
    assert Experiment("x", ("a", "b"), (PAID,), 10_000, shares=(0.5, 0.5)).share_of["b"] == 0.5
    assert three.tuned_for("b") == pytest.approx(4500.0)
    assert (three.control, three.treated) == ("a", ("b", "c"))


def test_its_shares_are_what_the_split_takes() -> None:
    arms = allot(Experiment("x", ("a", "b"), (PAID,), 10_000).share_of)
    assert [(arm.version, arm.share) for arm in arms] == [("a", 0.9), ("b", 0.1)]


@pytest.mark.parametrize(
    ("kind", "falls"), [(kind, kind in {"error_rate", "latency"}) for kind in Kind], ids=str
)
def test_each_kind_knows_what_is_better(kind: Kind, falls: bool) -> None:
    assert Metric("m", kind).falling is falls
    assert Metric("m", kind, less_is_better=not falls).falling is not falls


@pytest.mark.parametrize(
    ("name", "kind", "settings", "message"),
    [
        ("", Kind.RATIO, {}, "needs a name"),
        ("m", Kind.RATIO, {"margin": 1.0}, "margin"),
        ("m", Kind.RATIO, {"margin": -0.1}, "margin"),
        ("m", Kind.LATENCY, {"quantile": 1.0}, "quantile"),
        ("m", Kind.CONVERSION, {"covariate": True}, "only revenue"),
    ],
    ids=["name", "large margin", "negative margin", "quantile", "covariate"],
)
def test_a_metric_that_cannot_be_is_refused(
    name: str, kind: Kind, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Metric(name, kind, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ("a",)}, "control and other versions"),
        ({"arms": ("a", "a")}, "each once"),
        ({"metrics": (PAID, PAID)}, "same name"),
        ({"metrics": (Metric("e", Kind.ERROR_RATE, Role.GUARDRAIL),)}, "no success metric"),
        ({"alpha": 0.5}, "error rates"),
        ({"mismatch": 0.0}, "error rates"),
        ({"size": 150}, "fewer than 100 entities"),
        ({"least": 1}, "fewer than 1 entities"),
        ({"shares": (1.0,)}, "shares of x"),
        ({"shares": (1.0, 0.0)}, "shares of x"),
        ({"shares": (0.5, 0.4)}, "shares of x"),
        ({"arms": tuple("abcdefghijk")}, "shares of x"),
    ],
    ids=str,
)
def test_a_design_that_could_not_be_decided_is_refused(
    settings: dict[str, object], message: str
) -> None:
    whole: dict[str, object] = {"arms": ("a", "b"), "metrics": (PAID,), "size": 10_000, **settings}
    with pytest.raises(ValueError, match=message):
        Experiment("x", **whole)  # type: ignore[arg-type]
