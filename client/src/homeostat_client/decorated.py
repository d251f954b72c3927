"""Functions that predict, and are watched while they do."""

from __future__ import annotations

import functools
import inspect
import time
from typing import Any, Callable, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def first(*args: object, **kwargs: object) -> object:
    """Return the first argument, named or not."""
    return args[0] if args else next(iter(kwargs.values()))


def around(function: Function, note: Callable[..., None]) -> Function:
    """Return the function, noting arguments, time and result of each call that succeeds."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def answer_later(*args: Any, **kwargs: Any) -> Any:
            moment, began = time.time_ns(), time.perf_counter()
            found = await function(*args, **kwargs)
            note(args, kwargs, moment, (time.perf_counter() - began) * 1000, found)
            return found

        return cast("Function", answer_later)

    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> Any:
        moment, began = time.time_ns(), time.perf_counter()
        found = function(*args, **kwargs)
        note(args, kwargs, moment, (time.perf_counter() - began) * 1000, found)
        return found

    return cast("Function", answer)
