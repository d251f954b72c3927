"""A bar that shows that work goes on, where a person looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def rows_read(description: str = "reading") -> Iterator[Callable[[int], None]]:
    """Show how many rows have been read; give what to call with each further number of them."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(), console=screen, transient=True, disable=not screen.is_terminal,
    )  # fmt: skip
    task = bar.add_task(description, total=None)
    with bar:
        yield lambda rows: bar.advance(task, rows)


@contextmanager
def shares_done() -> Iterator[Callable[[str, float], None]]:
    """Show how far several things are; give what to call with the name and the share of one."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn(),
        console=screen, transient=True, disable=not screen.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def progress(name: str, share: float) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=1.0)
        bar.update(tasks[name], completed=share)

    with bar:
        yield progress


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show that something goes on of which nobody can say how far it is."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=screen, transient=True, disable=not screen.is_terminal,
    )  # fmt: skip
    bar.add_task(description, total=None)
    with bar:
        yield
