"""The page of a model's retraining runs: the newest one, those before, and each with its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from homeostat.adapters.trainers.keeper import LOG
from homeostat.domain.decision import Decision
from homeostat.domain.errors import HomeostatError, NotFoundError
from homeostat.domain.manifest import TrainingManifest, manifest_key
from homeostat.domain.model import ModelVersion
from homeostat.domain.text import printable
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.view import period
from homeostat.retraining.run import RunState, Stage

MOST_RUNS = 50
TAIL_LINES, TAIL_BYTES = 60, 16_384
STEPS = (Stage.REQUESTED, Stage.TRAINING, Stage.EVALUATING, Stage.ACCEPTED)
RESULTS = frozenset({"accept_candidate", "reject_candidate", "keep_judged", "refit", "train"})


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the decision log tells it, its decisions oldest first."""

    run_id: str
    decisions: tuple[Decision, ...]

    @property
    def began(self) -> datetime:
        """When it was asked for, or first heard of."""
        return self.decisions[0].at

    @property
    def last(self) -> Decision:
        """What was decided last."""
        return self.decisions[-1]


@dataclass(frozen=True)
class RetrainingPages:
    """Retraining runs of a model.

    Parameters
    ----------
    pages : Pages
    runs : Path or None
        Where trainings on this machine keep what they print; None: there are none.
    """

    pages: Pages
    runs: Path | None = None

    def page(self, request: Request) -> Response:
        """All runs of the time, and with ``run`` everything about one of them."""
        reader = self.pages.reader
        name = request.path_params["model"]
        spec, now = reader.spec(name), reader.clock.now()
        shown = period(request, now)
        decisions = reader.records.decisions(name, since=shown.window.start)
        found = runs_of(name, [d for d in decisions if d.at <= shown.window.end])
        newest = reader.retraining(name)
        asked = request.query_params.get("run", "")
        state = newest if newest and asked in {"", newest.run_id} else None
        run_id = asked or (newest.run_id if newest else "")
        chosen = next((run for run in found if run.run_id == run_id), None)
        manifest = reader.records.read(manifest_key(name, run_id), TrainingManifest)
        if asked and chosen is None and state is None and manifest is None:
            raise NotFoundError(f"{name} has no run {asked[:200]!r} in this time")
        values: dict[str, object] = {
            "spec": spec,
            "period": shown,
            "run": run_id,
            "state": state,
            "steps": [stage.value for stage in STEPS],
            "resting": state is None or state.resting,
            "story": chosen.decisions if chosen else (),
            "manifest": manifest,
            "candidate": self._candidate(name, run_id, state),
            "tail": self._tail(run_id) if chosen or state or manifest else "",
            "others": found[:MOST_RUNS],
            "hidden": max(0, len(found) - MOST_RUNS),
            "asked": reader.asked(name),
        }
        return self.pages.render(request, "retraining", values)

    def _candidate(self, model: str, run_id: str, state: RunState | None) -> ModelVersion | None:
        """Return the card of what came out; None if there is none, or the registry is away."""
        try:
            cards = self.pages.registry.versions(model) if run_id else ()
        except HomeostatError:
            return None
        wanted = state.candidate if state else ""
        return next(
            (card for card in reversed(cards) if card.run_id == run_id or card.version == wanted),
            None,
        )

    def _tail(self, run_id: str) -> str:
        """Return the last lines that a training on this machine printed."""
        if self.runs is None or not self.runs.is_dir():
            return ""
        if run_id not in {folder.name for folder in self.runs.iterdir()}:
            return ""
        try:
            with (self.runs / run_id / LOG).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(printable(line) for line in text.splitlines()[-TAIL_LINES:])


def runs_of(model: str, decisions: Sequence[Decision]) -> list[Run]:
    """Return the runs that decisions tell of, the newest first.

    What is decided about a candidate belongs to the run before it.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2024, 3, 1, tzinfo=UTC)
    >>> told = [("request_retraining", "fraud-0001"), ("train", "v2"), ("promote", "v2")]
    >>> decisions = [Decision("fraud", at, "ana", action, of, "") for action, of in told]
    >>> [(run.run_id, run.last.action) for run in runs_of("fraud", decisions)]
    [('fraud-0001', 'train')]
    """
    found: dict[str, list[Decision]] = {}
    current = ""
    for decision in decisions:
        stem, _, number = decision.subject.rpartition("-")
        if stem == model and len(number) >= 4 and number.isdecimal():
            current = decision.subject
            found.setdefault(current, []).append(decision)
        elif current and decision.action in RESULTS:
            found[current].append(decision)
    made = [Run(run_id, tuple(row)) for run_id, row in found.items()]
    return sorted(made, key=lambda run: run.began, reverse=True)
