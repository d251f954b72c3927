"""The breaker as callers use it: around a block, or on a function, plain or ``async def``."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import ParamSpec, Self, TypeVar, cast

from homeostat.domain.errors import BreakerOpenError, IllegalTransitionError
from homeostat.serving.breaker import BreakerConfig, Event, Mode, Outcome, Permit
from homeostat.serving.circuit import Circuit, Listener
from homeostat.serving.classify import of_error

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Errors = type[BaseException] | tuple[type[BaseException], ...]


class Breaker:
    """Keeps callers from a dependency that fails, in threads and under asyncio alike.

    Parameters
    ----------
    monotonic : callable
        Returns monotonic seconds, such as ``time.monotonic``. `homeostat.Breaker` brings it.
    config : BreakerConfig
    name : str
        Stands in errors.
    listener : callable, optional
        Is told of each `Transition`; it must not raise.
    exclude : exception class or tuple of them
        Exceptions that are the caller's and tell nothing; checked with ``isinstance``, so that
        abstract base classes work.
    exclude_if : callable, optional
        The same, by a predicate on the exception.
    of_result : callable, optional
        Turns what a call returned into an `Outcome`, such as the status of a response.
    circuit : Circuit, optional
        What holds the state, if it is not made here; `config` and `listener` are then not used.

    Raises
    ------
    TypeError
        If a class stands for a predicate, or the other way round.

    Examples
    --------
    >>> import time
    >>> breaker = Breaker(time.monotonic, BreakerConfig(faults=2), name="scores")
    >>> @breaker
    ... def score(amount: float) -> float:
    ...     return 1 / amount
    >>> score(4.0)
    0.25
    >>> for _ in range(3):
    ...     try:
    ...         score(0.0)
    ...     except ZeroDivisionError:
    ...         print("failed")
    ...     except BreakerOpenError as error:
    ...         print("not called", error.retry_after > 29)
    failed
    failed
    not called True
    >>> breaker.reset()
    >>> with breaker.call() as call:
    ...     call.result("an answer")
    'an answer'
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        config: BreakerConfig = BreakerConfig(),
        *,
        name: str = "breaker",
        listener: Listener | None = None,
        exclude: Errors = (),
        exclude_if: Callable[[BaseException], bool] | None = None,
        of_result: Callable[[object], Outcome] | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        classes = exclude if isinstance(exclude, tuple) else (exclude,)
        if not all(_is_error(given) for given in classes):
            raise TypeError(f"{name}: exclude takes exception classes; a test goes to exclude_if")
        if isinstance(exclude_if, type):
            raise TypeError(f"{name}: exclude_if takes a test; a class goes to exclude")
        self.name, self.monotonic = name, monotonic
        self.circuit = Circuit(config, listener) if circuit is None else circuit
        self._exclude, self._exclude_if, self._of_result = classes, exclude_if, of_result
        self._forgotten: deque[tuple[Permit, float]] = deque()

    @property
    def config(self) -> BreakerConfig:
        """When it opens and closes."""
        return self.circuit.config

    @property
    def mode(self) -> Mode:
        """The mode as of the last call; an open breaker turns half open when it is next asked."""
        return self.circuit.mode

    def call(self) -> Call:
        """Return a guard for one call, for ``with`` or ``async with``."""
        return Call(self)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Guard every call of a function.

        What a function returns to be awaited is guarded until that is done. Generators are refused,
        because their work begins after they were called: use `call` inside of them.

        Raises
        ------
        TypeError
            If the function is a generator.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{self.name}: a generator cannot be guarded; use call() in its body")
        is_async = bool(inspect.iscoroutinefunction(function))
        return self._async(function) if is_async else self._sync(function)

    # Both are `with self.call()` written out: a third of the cost of a call is that of the object.

    def _async(self, function: Callable[P, R]) -> Callable[P, R]:
        awaiting = cast("Callable[P, Awaitable[object]]", function)
        circuit, monotonic = self.circuit, self.monotonic

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> object:
            permit = circuit.acquire(monotonic())
            if permit is None:
                raise self.refusal()
            try:
                result = await awaiting(*args, **kwargs)
            except BaseException as error:
                self.failed(permit, error)
                raise
            self.returned(permit, result)
            return result

        return cast("Callable[P, R]", guarded)

    def _sync(self, function: Callable[P, R]) -> Callable[P, R]:
        circuit, monotonic, forgotten = self.circuit, self.monotonic, self._forgotten

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            while forgotten:
                gone, at = forgotten.popleft()
                circuit.settle(gone, Outcome.NEUTRAL, at)
            permit = circuit.acquire(monotonic())
            if permit is None:
                raise self.refusal()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self.failed(permit, error)
                raise
            if hasattr(type(result), "__await__"):
                return cast("R", self._begin(permit, cast("Awaitable[object]", result)))
            self.returned(permit, result)
            return result

        return guarded

    def _begin(self, permit: Permit, waiting: Awaitable[T]) -> Awaitable[T]:
        begun: list[bool] = []
        awaited = self._awaited(permit, waiting, begun)

        # Wherever it is collected, which may be while this thread holds the circuit's lock.
        def collected() -> None:
            if not begun:  # closed, or never awaited: it was no call
                self._forgotten.append((permit, self.monotonic()))

        weakref.finalize(awaited, collected).atexit = False
        return awaited

    async def _awaited(self, permit: Permit, waiting: Awaitable[T], begun: list[bool]) -> T:
        begun.append(True)
        try:
            result = await waiting
        except BaseException as error:
            self.failed(permit, error)
            raise
        self.returned(permit, result)
        return result

    def refusal(self) -> BreakerOpenError:
        """Return the error of a call that was not let through."""
        return BreakerOpenError(self.name, self.circuit.retry_after(self.monotonic()))

    def failed(self, permit: Permit, error: BaseException) -> None:
        """Report that a call ended with an exception."""
        outcome = Outcome.NEUTRAL  # should the caller's own test of exceptions fail
        try:
            outcome = self.outcome_of(error)
        finally:
            self.circuit.settle(permit, outcome, self.monotonic())

    def returned(self, permit: Permit, result: object) -> None:
        """Report what a call returned."""
        if self._of_result is None:
            self.circuit.settle(permit, Outcome.SUCCESS, self.monotonic())
            return
        outcome = Outcome.NEUTRAL  # should the caller's own test of results fail
        try:
            outcome = self._of_result(result)
        finally:
            self.circuit.settle(permit, outcome, self.monotonic())

    def outcome_of(self, error: BaseException) -> Outcome:
        """Say what an exception tells; what ends a task or the program is always neutral."""
        if isinstance(error, Exception) and (
            isinstance(error, self._exclude)
            or (self._exclude_if is not None and self._exclude_if(error))
        ):
            return Outcome.CLIENT_ERROR
        return of_error(error)

    def outcome_of_result(self, result: object) -> Outcome:
        """Say what a returned value tells."""
        return Outcome.SUCCESS if self._of_result is None else self._of_result(result)

    def force_open(self) -> None:
        """Let no call through until `reset`."""
        self._operate(Event.FORCE_OPEN)

    def disable(self) -> None:
        """Let every call through until `reset`."""
        self._operate(Event.DISABLE)

    def reset(self) -> None:
        """Close it; what it knew is forgotten."""
        self._operate(Event.RESET)

    def _operate(self, event: Event) -> None:
        with suppress(IllegalTransitionError):  # it is so already
            self.circuit.command(event, self.monotonic())


def _is_error(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseException)


class Call:
    """One guarded call: asks on entering, reports on leaving, however it is left."""

    __slots__ = ("_breaker", "_outcome", "_permit")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._permit: Permit | None = None
        self._outcome: Outcome | None = None

    def __enter__(self) -> Self:
        breaker = self._breaker
        permit = breaker.circuit.acquire(breaker.monotonic())
        if permit is None:
            raise breaker.refusal()
        self._permit = permit
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        breaker, permit = self._breaker, self._permit
        assert permit is not None  # it was entered
        if error is not None and self._outcome is None:
            breaker.failed(permit, error)
        else:
            breaker.circuit.settle(permit, self._outcome or Outcome.SUCCESS, breaker.monotonic())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def result(self, value: T) -> T:
        """Note what the call returned, and return it; exceptions after it are the block's own."""
        self._outcome = Outcome.NEUTRAL  # should the caller's own test of it fail
        self._outcome = self._breaker.outcome_of_result(value)
        return value

    def tell(self, outcome: Outcome) -> None:
        """State how the call ended, where neither a result nor an exception says it."""
        self._outcome = outcome
