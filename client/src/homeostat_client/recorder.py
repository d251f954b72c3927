"""What callers call: it appends to a queue and returns.

Nothing here waits, takes a lock or raises. One `log_prediction` costs a copy of the features'
mapping and an append; times are taken at the call, JSON is made later in a thread.
"""

from __future__ import annotations

import itertools
import os
import random
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, cast, overload

from homeostat_client import lifecycle
from homeostat_client.counters import Counters
from homeostat_client.decorated import Function, around, first
from homeostat_client.encode import moment_of
from homeostat_client.settings import Options, Settings, settle
from homeostat_client.shipper import Shipper
from homeostat_client.tables import FIELDS, rows_of

if TYPE_CHECKING:
    from typing import Unpack

PREFIX_BYTES = 10


class Call:
    """One prediction under way; what is set on it is logged when its block ends.

    Attributes
    ----------
    score : object
        Must be set, else nothing is logged.
    prediction_id : str
        Known from the beginning, so that it can be given to whoever learns the truth later.
    prediction, probabilities, version, entity, tier, reason : object
        As in `Recorder.log_prediction`.
    """

    __slots__ = (
        "_features", "_recorder", "_started", "_timestamp", "entity", "prediction",
        "prediction_id", "probabilities", "reason", "score", "tier", "version",
    )  # fmt: skip

    def __init__(
        self, recorder: Recorder, features: object, prediction_id: str | None, version: str
    ) -> None:
        self._recorder, self._features = recorder, features
        self.prediction_id = prediction_id or recorder.new_id()
        self.score: object = None
        self.prediction: object = None
        self.probabilities: object = None
        self.version, self.entity, self.tier, self.reason = version, "", "", ""

    def __enter__(self) -> Call:
        self._timestamp = time.time_ns()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and (self.score is not None or self.probabilities is not None):
            self._recorder.put(
                self.prediction_id,
                self._timestamp,
                self._features,
                self.score,
                self.version,
                self.entity,
                (time.perf_counter() - self._started) * 1000,
                self.prediction,
                self.probabilities,
                None,
                self.tier or None,
                self.reason or None,
            )


class Recorder:
    """The part of a client that logs; `Client` and `AsyncClient` add how to wait for delivery.

    Parameters
    ----------
    server, model, token, version : str, optional
        By default from the environment; see `Settings`.
    rng : random.Random, optional
        Spreads attempts to reach a server that is away.
    **settings
        Fields of `Settings`.

    Raises
    ------
    ValueError, TypeError
        If the settings cannot be. Nothing else of a client raises.
    """

    def __init__(
        self,
        server: str | None = None,
        model: str | None = None,
        token: str | None = None,
        version: str | None = None,
        *,
        rng: random.Random | None = None,
        **settings: Unpack[Options],
    ) -> None:
        given: dict[str, object] = {
            "server": server,
            "model": model,
            "token": token,
            "version": version,
            **settings,
        }
        self.settings: Settings = settle(given)
        self._shipper = Shipper(self.settings, rng or random.Random())  # noqa: S311 - jitter
        self._shipper.on_start, self._shipper.on_stop = lifecycle.started, lifecycle.stopped
        self._predictions = self._shipper.predictions
        self._name()
        lifecycle.in_child(self)
        weakref.finalize(self, self._shipper.retire).atexit = False

    def _name(self) -> None:
        self._prefix = os.urandom(PREFIX_BYTES).hex()
        self._numbers = itertools.count(1)

    def forked(self) -> None:
        """In a forked child: nothing of the parent's is sent twice, and ids are new."""
        self._shipper.forked()
        self._name()

    def new_id(self) -> str:
        """Return an id that no other prediction has: random for the process, then counted."""
        return f"{self._prefix}{next(self._numbers):x}"

    def log_prediction(
        self,
        features: Mapping[str, Any],
        score: object,
        prediction_id: str | None = None,
        timestamp: object = None,
        version: str = "",
        entity: str = "",
        latency_ms: float | None = None,
        *,
        prediction: object = None,
        probabilities: object = None,
        role: str | None = None,
        tier: str | None = None,
        reason: str | None = None,
        arm_share: float | None = None,
    ) -> str:
        """Log what a model answered; return the id under which its label is logged later.

        The mapping of features is copied: what changes in it later is not logged. Values that
        are themselves mutable (lists, arrays) are not copied.

        Parameters
        ----------
        features : mapping
            Of names to numbers, texts or booleans.
        score : number
            Of several classes the class, or None where `probabilities` are given.
        prediction_id : str, optional
            Made here if there is none. The same id again is the same prediction.
        timestamp : datetime with a zone, text or seconds since 1970, optional
            By default now.
        version, entity : str
            By default the client's version; what the prediction is about, such as a customer.
        latency_ms : float, optional
        prediction, probabilities, role, tier, reason : optional
            Further fields of a record, where they are not what the server infers.
        arm_share : float, optional
            Of a role ``arm:VERSION``: the share of all entities that this arm had.
        """
        try:
            if prediction_id is None:
                prediction_id = f"{self._prefix}{next(self._numbers):x}"
            waiting, shipper = self._predictions, self._shipper
            if len(waiting) >= shipper.limit:
                shipper.turn_away()
                return prediction_id
            waiting.append((
                prediction_id,
                time.time_ns() if timestamp is None else moment_of(timestamp),
                features.copy() if type(features) is dict else dict(features),
                score, version, entity, latency_ms, prediction,
                probabilities if probabilities is None else _copied(probabilities),
                role, tier, reason, arm_share,
            ))  # fmt: skip
            if len(waiting) >= shipper.wake_at:
                shipper.nudge()
        except Exception:
            self.miss()
        return cast("str", prediction_id)

    def put(self, prediction_id: str, timestamp: int, features: object, *rest: object) -> None:
        """Queue a prediction whose time was taken before."""
        try:
            shipper = self._shipper
            if len(self._predictions) >= shipper.limit:
                shipper.turn_away()
                return
            copy = dict(features)  # type: ignore[call-overload]
            self._predictions.append((prediction_id, timestamp, copy, *rest))
            if len(self._predictions) >= shipper.wake_at:
                shipper.nudge()
        except Exception:
            self.miss()

    def log_label(self, prediction_id: str, label: object, arrival: object = None) -> None:
        """Log what turned out to be true; a later arrival corrects an earlier label.

        Parameters
        ----------
        prediction_id : str
        label : number or class name
        arrival : datetime with a zone, text or seconds since 1970, optional
            When it became known, by default now.
        """
        try:
            shipper = self._shipper
            if len(shipper.labels) >= shipper.limit:
                shipper.turn_away()
                return
            known = time.time_ns() if arrival is None else moment_of(arrival)
            shipper.labels.append((prediction_id, label, known))
            if len(shipper.labels) >= shipper.wake_at:
                shipper.nudge()
        except Exception:
            self.miss()

    def log_outcome(
        self, prediction_id: str, outcome: str, value: object, arrival: object = None
    ) -> None:
        """Log another number that became known, such as money lost; a later arrival corrects it.

        Parameters
        ----------
        prediction_id : str
        outcome : str
            One of the model's ``outcomes``.
        value : number or boolean
        arrival : datetime with a zone, text or seconds since 1970, optional
            When it became known, by default now.
        """
        try:
            shipper = self._shipper
            if len(shipper.outcomes) >= shipper.limit:
                shipper.turn_away()
                return
            known = time.time_ns() if arrival is None else moment_of(arrival)
            shipper.outcomes.append((prediction_id, outcome, value, known))
            if len(shipper.outcomes) >= shipper.wake_at:
                shipper.nudge()
        except Exception:
            self.miss()

    def log_batch(self, rows: object, **common: Any) -> list[str]:
        """Log many predictions; return their ids.

        It takes a few microseconds a row in the caller's thread.

        Parameters
        ----------
        rows : iterable of mappings, mapping of columns, or data frame
            Fields of `log_prediction` (``score`` at least) and features, side by side.
        **common
            Fields that all rows have, such as ``version``.
        """
        ids = []
        try:
            for row in rows_of(rows):
                fields = {**common, **{name: row.pop(name) for name in FIELDS if name in row}}
                fields.setdefault("score", None)
                ids.append(self.log_prediction(row, **fields))
        except Exception:
            self.miss()
        return ids

    def predict_logged(
        self, features: object, prediction_id: str | None = None, version: str = ""
    ) -> Call:
        """Return a context that logs a prediction with its latency.

        Nothing is logged if the block raises.

        Examples
        --------
        with client.predict_logged(features) as call:
            call.score = model.predict(features)
        """
        return Call(self, features, prediction_id, version)

    @overload
    def logged(self, function: Function) -> Function: ...

    @overload
    def logged(
        self,
        *,
        features: Callable[..., object] | None = None,
        score: Callable[[Any], object] | None = None,
        prediction_id: Callable[..., str] | None = None,
        version: str = "",
    ) -> Callable[[Function], Function]: ...

    def logged(
        self,
        function: Function | None = None,
        *,
        features: Callable[..., object] | None = None,
        score: Callable[[Any], object] | None = None,
        prediction_id: Callable[..., str] | None = None,
        version: str = "",
    ) -> Function | Callable[[Function], Function]:
        """Decorate a function, or coroutine function, that predicts one row.

        Parameters
        ----------
        function : callable
            Its first argument is the features, its result the score, unless said otherwise:
        features, prediction_id : callable, optional
            Given the function's arguments.
        score : callable, optional
            Given the function's result.
        version : str

        Returns
        -------
        callable
            It answers and raises as `function` does; what these callables raise is counted only.
        """
        read = features or first

        def note(args: Any, kwargs: Any, moment: int, milliseconds: float, found: Any) -> None:
            try:
                self.put(
                    prediction_id(*args, **kwargs) if prediction_id else self.new_id(),
                    moment,
                    read(*args, **kwargs),
                    score(found) if score else found,
                    version,
                    "",
                    milliseconds,
                )
            except Exception:
                self.miss()

        def decorate(function: Function) -> Function:
            return around(function, note)

        return decorate if function is None else decorate(function)

    def defer(self, call: Callable[[], None], size: int) -> None:
        """Have something done in the background that logs; it holds `size` bytes until then."""
        self._shipper.defer(call, size)

    def miss(self) -> None:
        """Count a record that could not be understood."""
        self._shipper.ledger.at_the_call["bad_record"].add()

    def settle(self) -> bool:
        """Deliver within ``exit_timeout`` and keep the rest on disk; return whether all arrived.

        For the end of an application in a process that may go on.
        """
        return self._shipper.settle(self.settings.exit_timeout)

    @property
    def counters(self) -> Counters:
        """What happened to the records so far."""
        return self._shipper.counters()


def _copied(value: Any) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else list(value)
