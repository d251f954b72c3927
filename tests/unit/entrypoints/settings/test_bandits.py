from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.bandit.design import Bandit, Delay, Kind

MODELS = """\
models:
  - name: shop
    task: binary
    features: {amount: numeric}
    labels: {maturity: 7d}
    outcomes: [bought, spent]
bandits:
"""
WHOLE = """\
  - name: offers
    model: shop
    arms: ['7', '8', '9']
    reward: value
    of: spent
    better: lower
    discount: 0.9
    floor: 0.1
    traffic: 0.5
    every: 6h
    delay: weighted
    least: 50
    seed: 3
"""


def test_a_bandit_is_its_models(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    short = "  - {name: plain, model: shop, arms: ['7', '8']}\n"
    file.write_text(MODELS + WHOLE + short)
    offers, plain = model_plan(load(file), "shop").bandits
    assert offers == Bandit(
        "offers", "shop", ("7", "8", "9"), "spent", Kind.VALUE, "lower",
        0.9, 0.1, 0.5, timedelta(hours=6), Delay.WEIGHTED, 50, 3,
    )  # fmt: skip
    assert plain == Bandit("plain", "shop", ("7", "8"))


@pytest.mark.parametrize(
    ("bandit", "field", "problem"),
    [
        ("model: shp, arms: ['7', '8']", "0.model", "no model is named 'shp'; did you mean"),
        ("model: shop, arms: ['7']", "0.arms", "needs 2 to 20 versions, not 1"),
        ("model: shop, arms: ['7', '7']", "0.arms.1", "is named twice"),
        ("model: shop, arms: ['7', ' ']", "0.arms.1", "needs the name of a version"),
        ("model: shop, arms: ['7', '8'], of: bougt", "0.of", "no outcome 'bougt'; did you mean"),
        ("model: shop, arms: ['7', '8'], floor: 0.5", "0.floor", "take everything; write less"),
        ("model: shop, arms: ['7', '8'], discount: 0", "0.discount", "greater than 0"),
        ("model: shop, arms: ['7', '8'], reward: clicks", "0.reward", "'clicks' is not known"),
        (
            "model: shop, arms: ['7', '8'], reward: score, delay: weighted",
            "0.delay",
            "weighted counts what did not come as 0",
        ),
        ("model: shop, arms: ['7', '8'], every: 1m", "0.every", "more than 2000 such batches"),
        ("model: shop, arms: ['7', '8']}\n  - {name: b, model: shop, arms: ['7', '8']", "1.name",
         "'b' is also the name of bandits.0"),
    ],
    ids=["model", "alone", "twice", "blank", "outcome", "floor", "discount", "kind", "score",
         "short", "name"],
)  # fmt: skip
def test_a_bandit_that_cannot_be_is_told(
    tmp_path: Path, bandit: str, field: str, problem: str
) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(f"{MODELS}  - {{name: b, {bandit}}}\n")
    with pytest.raises(ConfigError, match=problem) as caught:
        load(file)
    assert caught.value.field == f"bandits.{field}"
    assert caught.value.line == 8 + int(field[0])


def test_without_outcomes_the_remedy_says_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    text = MODELS.replace("    outcomes: [bought, spent]\n", "")
    file.write_text(text + "  - {name: b, model: shop, arms: ['7', '8'], of: bought}\n")
    with pytest.raises(ConfigError, match="name it in outcomes"):
        load(file)
