"""Every error Homeostat raises on purpose.

::

    HomeostatError
    ├── UserError                 the caller can mend it (exit code 2, HTTP 4xx)
    │   ├── ConfigError           homeostat.yaml is wrong: names file, line and field
    │   ├── DataError             data handed in is wrong: names the column
    │   ├── NotFoundError         an id, model, version or file that does not exist
    │   ├── ConflictError         somebody else changed it first; read again and retry
    │   └── PermissionDeniedError token missing, wrong, or without the scope
    ├── IllegalTransitionError    a state machine was asked for a step its table lacks
    ├── StorageError              the prediction log or the records database failed
    ├── OverloadError             more is asked for than can be done; try again later (HTTP 429)
    ├── BreakerOpenError          a breaker let a call not through: it was not made
    ├── ArtifactError             a model artifact is missing, corrupt or not what was registered
    ├── TrainingError             a trainer crashed, timed out or returned something unusable
    └── DeliveryError             a receiver did not take a notification
"""

from __future__ import annotations

from datetime import timedelta


class HomeostatError(Exception):
    """Root of the tree; also an internal failure (exit code 3)."""

    exit_code = 3


class UserError(HomeostatError):
    """The caller can mend it."""

    exit_code = 2


class ConfigError(UserError):
    """The configuration is wrong.

    Parameters
    ----------
    problem : str
        What is wrong, in a few words.
    remedy : str
        What to do about it.
    file : str
        Path of the file, as the user gave it.
    line : int or None
        One-based line, where known.
    field : str
        Dotted path of the setting, such as ``models.0.threshold``.

    Examples
    --------
    >>> print(ConfigError("must be below 1", "use a share such as 0.5", "h.yaml", 4, "threshold"))
    h.yaml:4: threshold: must be below 1; use a share such as 0.5
    """

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        file: str = "",
        line: int | None = None,
        field: str = "",
    ) -> None:
        self.problem, self.remedy = problem, remedy
        self.file, self.line, self.field = file, line, field
        where = f"{file}:{line}" if file and line is not None else file
        text = ": ".join(part for part in (where, field, problem) if part)
        super().__init__(f"{text}; {remedy}" if remedy else text)


class DataError(UserError):
    """Data handed in cannot be used; the message names the column or the row."""


class NotFoundError(UserError):
    """Something named does not exist."""


class ConflictError(UserError):
    """A compare-and-set lost: somebody else changed the value first."""


class PermissionDeniedError(UserError):
    """The token is missing, wrong, or lacks the scope."""


class IllegalTransitionError(HomeostatError):
    """A state machine's table has no entry for this state and event."""

    def __init__(self, machine: str, state: str, event: str) -> None:
        self.machine, self.state, self.event = machine, state, event
        super().__init__(f"{machine}: {event} is not possible in state {state}")


class StorageError(HomeostatError):
    """The prediction log or the records database failed."""


class OverloadError(HomeostatError):
    """More is asked for than can be done now; nothing was done, and later it may be."""


class BreakerOpenError(HomeostatError):
    """A breaker let a call not through; it was not made.

    ``name`` is the breaker's. ``retry_after`` are seconds until it may be tried again, None if that
    depends on how probes end or on an operator.

    Examples
    --------
    >>> print(BreakerOpenError("fraud/v2", 12.5))
    fraud/v2: the breaker is open, the call was not made; try again in 12.5 s or use a fallback
    """

    def __init__(self, name: str, retry_after: float | None) -> None:
        self.name, self.retry_after = name, retry_after
        when = "later" if retry_after is None else f"in {retry_after:.1f} s"
        super().__init__(
            f"{name}: the breaker is open, the call was not made;"
            f" try again {when} or use a fallback"
        )


class ArtifactError(HomeostatError):
    """A model artifact is missing, corrupt, or not what was registered."""


class TrainingError(HomeostatError):
    """A trainer crashed, timed out or returned something unusable."""


class DeliveryError(HomeostatError):
    """A receiver did not take a notification.

    ``retry`` tells whether trying again can help; ``after`` how long the receiver asked to be left
    alone, None if it did not say.
    """

    def __init__(self, message: str, *, retry: bool, after: timedelta | None = None) -> None:
        self.retry, self.after = retry, after
        super().__init__(message)
