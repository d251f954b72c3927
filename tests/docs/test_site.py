"""What the documentation has of the code; `make lint` builds the pages."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
spec = spec_from_file_location("hooks", ROOT / "docs/hooks.py")
assert spec is not None
assert spec.loader is not None
hooks = module_from_spec(spec)
spec.loader.exec_module(hooks)


def test_every_command_is_there_with_its_help() -> None:
    told = hooks.commands()
    assert "### homeostat backtest\n" in told
    assert "#### homeostat rollout push\n" in told
    assert "--from [%Y-%m-%d]" in told


def test_every_setting_is_there_with_its_meaning() -> None:
    told = hooks.settings()
    assert "| `budget` | [Budget](#budget) | see there | False alarms that are accepted. |" in told
    assert "| `maturity` | string | required |" in told
    assert "`binary`, `multiclass`, `regression`" in told


def test_both_interfaces_and_all_public_names_are_there() -> None:
    assert "| POST | `/api/v1/models/{model}/labels` |" in hooks.interfaces()
    assert "`/v1/models/{model}/predict`" in hooks.interfaces()
    assert "::: homeostat.entrypoints.compare.compare\n" in hooks.names()
    assert "::: homeostat_client.client.Client\n    options: {inherited" in hooks.names()


def test_every_guide_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].partition("\nnot_in_nav")[0]
    listed = str(yaml.safe_load("nav:" + menu))
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs/guide").glob("*.md")]
    assert not [page for page in pages if f"'{page}'" not in listed]
