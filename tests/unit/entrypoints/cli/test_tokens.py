"""Tokens on the command line."""

import json
from pathlib import Path

import pytest

from homeostat.entrypoints.http.auth import Tokens
from unit.entrypoints.cli.test_cli import call, here, open_records

__all__ = ["here"]


def test_tokens(here: Path) -> None:
    assert "no tokens" in call("token", "list")[1]
    code, out, err = call("token", "create", "ci", "--scope", "read", "--scope", "ingest")
    assert code == 0
    assert out.startswith("hs_")
    assert "cannot be shown again" in err
    assert json.loads(call("token", "list", "--json")[1])["tokens"][0]["scopes"] == [
        "ingest",
        "read",
    ]
    assert "read" in call("token", "list")[1]
    assert call("token", "create", "ci", "--scope", "read")[0] == 2
    assert call("token", "revoke", "ci")[0] == 0
    assert json.loads(call("token", "create", "ci", "--scope", "read", "--json")[1])["token"]


def test_a_token_may_bring_its_own_secret(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("token", "create", "first", "--scope", "read", "--secret-env", "FIRST_TOKEN")
    assert "FIRST_TOKEN is not set" in call(*asked)[2]
    monkeypatch.setenv("FIRST_TOKEN", "x" * 31)
    code, _, err = call(*asked)
    assert (code, "has 31 characters; it needs 32 random ones" in err) == (2, True)
    told = []
    for secret, scope in (("a" * 32, "read"), ("a" * 32, "read"), ("b" * 40, "ingest")):
        monkeypatch.setenv("FIRST_TOKEN", secret)
        changed = ("--json", "--scope", scope)
        code, out, _ = call("token", "create", "first", "--secret-env", "FIRST_TOKEN", *changed)
        told.append((code, json.loads(out)["changed"]))
        assert secret not in out
    assert told == [(0, True), (0, False), (0, True)]
    (kept,) = json.loads(call("token", "list", "--json")[1])["tokens"]
    assert kept["scopes"] == ["ingest"]
    records = open_records(here)
    assert Tokens(records).find("a" * 32) is None
    assert Tokens(records).find("b" * 40) is not None
    records.close()
    assert "is as it was" in call(*asked[:-4], "--scope", "ingest", *asked[-2:])[1]
