"""Text that may quote data, as people read it."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey: it may quote data.

    Examples
    --------
    >>> print(printable("\x1b[31mred"))
    \x1b[31mred
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def lines(texts: Iterable[str]) -> str:
    r"""Return texts as lines, each without what a terminal would obey.

    Examples
    --------
    >>> print(lines(["a", "b\nc"]))
    a
    b\nc
    """
    return "\n".join(map(printable, texts))
