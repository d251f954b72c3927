import json
from pathlib import Path

import jsonschema
import yaml

from homeostat.entrypoints.settings import json_schema
from homeostat.entrypoints.settings.schema import known_keys

ROOT = Path(__file__).parents[4]
PUBLISHED = ROOT / "docs/reference/homeostat.schema.json"


def test_the_published_schema_is_in_step() -> None:
    """Renew it with: homeostat config schema > docs/reference/homeostat.schema.json."""
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def test_the_schema_takes_what_loads_and_refuses_what_does_not() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(
        "receivers: {x: {type: webhook, url: 'https://h'}}\n"
        "models: [{name: a, task: binary, features: {x: numeric, y: {kind: boolean}},"
        " labels: {maturity: 1d}, fallback: [{default: {score: 0}}],"
        " retraining: {trainer: 'a.py:b', schedule: 30d}}]"
    )
    assert validator.is_valid(good)
    for path, value in ((("dta",), 1), (("models",), []), (("server",), {"tick": 3})):
        assert not validator.is_valid(good | {path[0]: value})


def test_every_setting_is_described() -> None:
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        for name, setting in part.get("properties", {}).items():
            there = schema["$defs"].get(setting.get("$ref", "").rpartition("/")[2], setting)
            assert setting.get("description") or there.get("description"), name


def test_known_keys_look_through_lists_mappings_and_unions() -> None:
    assert "when" in known_keys(("models", 0, "fallback", 1, "rules", 2))
    assert "secret_env" in known_keys(("receivers", "x", "webhook"))
    assert "kind" in known_keys(("models", 0, "features", "amount"))
    assert "trainer" in known_keys(("models", 3, "retraining"))
    assert known_keys(("data", "x")) == ()
