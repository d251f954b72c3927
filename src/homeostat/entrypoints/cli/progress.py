"""A bar that shows that work goes on, where a person looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


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
