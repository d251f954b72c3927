from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import Handling
from homeostat.domain.personal import handled
from homeostat.domain.retention import Retention
from homeostat.entrypoints.settings import Settings, load

DAY = timedelta(days=1)
SECRET = "personal_key_env: HOMEOSTAT_KEY\n"


def read(folder: Path, more: str = "", feature: str = "categorical", head: str = "") -> Settings:
    path = folder / "homeostat.yaml"
    path.write_text(
        f"{head}models:\n"
        "  - name: fraud\n"
        "    task: binary\n"
        f"    features: {{amount: numeric, card: {feature}}}\n"
        "    labels: {maturity: 20d}\n"
        f"{more}"
    )
    return load(path)


def retention(folder: Path, more: str = "") -> Retention:
    (model,) = read(folder, more).models
    return model.retention.retention(model.labels.maturity, model.retraining)


def test_features_live_for_thirty_days_beyond_what_is_learned_from_them(tmp_path: Path) -> None:
    assert retention(tmp_path) == Retention(50 * DAY, 400 * DAY, 3653 * DAY, 90 * DAY)
    learns = "    retraining: {trainer: 'train.py:train', window: 60d, holdout: 7d}\n"
    assert retention(tmp_path, learns).features == (30 + 20 + 60 + 7) * DAY
    stated = "    retention: {features: 20d, records: 90d, profiles: 800d, quarantine: 7d}\n"
    assert retention(tmp_path, stated) == Retention(20 * DAY, 90 * DAY, 800 * DAY, 7 * DAY)
    slow = "    retraining: {trainer: 'train.py:train', window: 600d}\n"
    assert retention(tmp_path, slow).records == (600 + 20 + 7) * DAY


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("features: 500d", "no row is kept longer"),
        ("records: 90d, profiles: 30d", "outlive"),
        ("features: 10d", "at least 20d"),
        ("records: 10d", "at least 20d"),
    ],
    ids=["features", "profiles", "maturity", "records"],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, stated: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, f"    retention: {{{stated}}}\n")


def test_personal_says_what_is_kept(tmp_path: Path) -> None:
    hashed = read(tmp_path, feature="{kind: categorical, personal: hash}", head=SECRET)
    column = hashed.specs[0].schema["card"]
    assert (column.personal, column.handling) == (True, Handling.HASH)
    for word in ("true", "keep"):
        column = (
            read(tmp_path, feature=f"{{kind: categorical, personal: {word}}}")
            .specs[0]
            .schema["card"]
        )
        assert (column.personal, column.handling) == (True, Handling.KEEP)
    assert not read(tmp_path).specs[0].schema["card"].personal
    entity = read(tmp_path, "    entity_personal: drop\n").specs[0]
    assert handled(entity) == {"entity": Handling.DROP}


@pytest.mark.parametrize(
    ("feature", "head", "said"),
    [
        ("{kind: numeric, personal: hash}", SECRET, "only text can be hashed"),
        ("{kind: categorical, personal: hash, categories: [a]}", SECRET, "would not hold"),
        ("{kind: numeric, personal: drop, nullable: false}", "", "missing ones"),
        ("{kind: categorical, personal: hash}", "", "personal_key_env"),
    ],
    ids=["numbers", "categories", "nullable", "secret"],
)
def test_handling_that_cannot_work_is_refused(
    tmp_path: Path, feature: str, head: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, feature=feature, head=head)


def test_the_key_comes_from_the_environment_alone(tmp_path: Path) -> None:
    settings = read(tmp_path, feature="{kind: categorical, personal: hash}", head=SECRET)
    assert settings.protector({"HOMEOSTAT_KEY": "0123456789abcdef"}).text("a").startswith("hmac:")
    with pytest.raises(ConfigError, match="is not set"):
        settings.protector({})
    with pytest.raises(ConfigError, match="fewer than 16 bytes") as told:
        settings.protector({"HOMEOSTAT_KEY": "guessme"})
    assert "guessme" not in str(told.value)
    assert read(tmp_path).protector({}).key == b""
