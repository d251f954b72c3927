"""The page of retraining runs, without script."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Never

import pytest

from e2e.history import HOSTILE, NOW, run
from e2e.site import Reader, Site
from homeostat.domain.decision import Decision
from homeostat.domain.errors import StorageError
from homeostat.domain.manifest import TrainingManifest, manifest_key
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.retraining.planning import Plan
from homeostat.retraining.run import RunState, Stage

DAY = timedelta(days=1)
PAGE = "/retraining/fraud"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def words(site: Site, path: str) -> str:
    return " ".join(" ".join(Reader(site.get(path).text).words).split())


def told(site: Site) -> None:
    """Tell of two runs: one that was refused before, one that was accepted."""

    def did(action: str, subject: str, **evidence: float) -> Decision:
        pairs = tuple(evidence.items())
        return Decision("fraud", NOW - 2 * DAY, "homeostat", action, subject, HOSTILE, pairs)

    with site.records.begin() as unit:
        unit.decide(
            did("request_retraining", "fraud-0003"),
            did("train", "v3"),
            did("accept_candidate", "v3", holdout_e=31.5),
            did("promote", "v3"),
        )


def test_the_newest_run_is_shown_with_its_evidence(site: Site) -> None:
    told(site)
    answer = site.get(PAGE)
    text = " ".join(" ".join(Reader(answer.text).words).split())
    for part in ("fraud-0003", "better than v2 on the hold-out", "loss above baseline", "31.5"):
        assert part in text
    assert "promote" not in text
    assert "refuse retraining" in text
    assert "Ask for a retraining" in text
    assert "<script>document.title" not in answer.text


def test_an_older_run_is_shown_when_asked_for(site: Site) -> None:
    text = words(site, f"{PAGE}?run=fraud-0002&days=30")
    assert "a data fault is open" in text
    assert "loss above baseline" not in text
    for path in (f"{PAGE}?run=fraud-9999", f"{PAGE}?run=../../etc", "/retraining/gone"):
        assert site.get(path).status_code == 404
    assert "no retraining yet" in words(site, "/retraining/fresh")


def test_a_run_under_way_tells_progress_and_what_it_printed(site: Site, tmp_path: Path) -> None:
    window = Window(NOW - 30 * DAY, NOW - 9 * DAY)
    plan = Plan("v2", window, Window(NOW - 9 * DAY, NOW - 7 * DAY), NOW)
    going = replace(run(), stage=Stage.TRAINING, plan=plan, progress=0.42, ended_at=None)
    with site.records.begin() as unit:
        unit.load("retraining:fraud", RunState)
        unit.save("retraining:fraud", going)
    assert "printed" not in words(site, PAGE)
    folder = tmp_path / "runs"
    folder.mkdir()
    assert "printed" not in words(site, PAGE)
    (folder / "fraud-0003").mkdir()
    assert "printed" not in words(site, PAGE)
    lines = "\n".join(f"epoch {number}" for number in range(100))
    (folder / "fraud-0003" / "log.txt").write_text(f"{lines}\n<script>alert(1)</script>\x1b[0m\n")
    answer = site.get(PAGE).text
    assert "42 % trained" in answer
    assert "epoch 99" in answer
    assert "epoch 2\n" not in answer
    assert "<script>alert" not in answer
    assert "under way" in answer


def test_manifest_and_candidate_are_shown(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(NOW - 30 * DAY, NOW - 9 * DAY)
    manifest = TrainingManifest(
        "fraud", "fraud-0003", window, NOW, 900, "sha256:abc", "sha256:def", 7,
        code="git:123", answered=1000, labelled=900,
    )  # fmt: skip
    with site.records.begin() as unit:
        unit.save(manifest_key("fraud", "fraud-0003"), manifest)
    artifact = tmp_path / "model"
    artifact.write_text("x")
    card = ModelVersion("fraud", "v3", "linear", "", NOW, "v2", "fraud-0003", 900)
    site.registry.register(replace(card, metrics=(("auc", 0.91),)), artifact)
    text = words(site, PAGE)
    for part in ("sha256:abc", "90 % of the requests", "git:123", "0.91", "What came out"):
        assert part in text

    def away(*_: object) -> Never:
        raise StorageError("the registry does not answer")

    monkeypatch.setattr(site.registry, "versions", away)
    text = words(site, PAGE)
    assert "What came out" not in text
    assert "sha256:abc" in text
