"""The breaker for use in other programs: with the machine's clock."""

from __future__ import annotations

from collections.abc import Callable

from homeostat.adapters.clock import SystemClock
from homeostat.serving import guard
from homeostat.serving.breaker import BreakerConfig, Outcome
from homeostat.serving.circuit import Circuit, Listener


class Breaker(guard.Breaker):
    """Keeps callers from a dependency that fails, in threads and under asyncio alike.

    As `homeostat.serving.Breaker`, with the system's monotonic clock.

    Parameters
    ----------
    config : BreakerConfig
    name : str
        Stands in errors.
    listener : callable, optional
        Is told of each transition; it must not raise.
    exclude : exception class or tuple of them
        Exceptions that are the caller's and tell nothing.
    exclude_if : callable, optional
        The same, by a predicate on the exception.
    of_result : callable, optional
        Turns what a call returned into an `Outcome`.
    circuit : Circuit, optional
        What holds the state, such as one of `homeostat.adapters.breakers.RedisBreakers`.

    Examples
    --------
    >>> from homeostat.serving import BreakerConfig
    >>> breaker = Breaker(BreakerConfig(faults=5, window=60.0, share=0.0), name="scores")
    >>> @breaker
    ... async def score(amount: float) -> float:
    ...     return amount / 100
    >>> import asyncio
    >>> asyncio.run(score(50.0)), breaker.mode.value
    (0.5, 'closed')
    """

    def __init__(
        self,
        config: BreakerConfig = BreakerConfig(),
        *,
        name: str = "breaker",
        listener: Listener | None = None,
        exclude: guard.Errors = (),
        exclude_if: Callable[[BaseException], bool] | None = None,
        of_result: Callable[[object], Outcome] | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        super().__init__(
            SystemClock().monotonic,
            config,
            name=name,
            listener=listener,
            exclude=exclude,
            exclude_if=exclude_if,
            of_result=of_result,
            circuit=circuit,
        )
