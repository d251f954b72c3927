"""What classes are called: told from data, and matched where columns write them differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.errors import DataError
from homeostat.profiles.cast import BOOLEAN_WORDS, Texts

MOST_CLASSES = 1_000


def two_classes(columns: Mapping[str, Sequence[str]], role: str) -> tuple[str, str]:
    """Return (negative, positive) among words for no and yes, as the first column writes them.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        The values of each column that holds classes.
    role : str
        What to call the data in messages.

    Raises
    ------
    DataError
        If a value is no such word, or a column writes one of them in two ways.

    Examples
    --------
    >>> two_classes({"label": ["no", "yes"], "said": ["false", "true"]}, "data")
    ('no', 'yes')
    """
    named: dict[bool, str] = {}
    for column, values in columns.items():
        words = {text: BOOLEAN_WORDS.get(text.strip().lower()) for text in values}
        told = {known: text for text, known in words.items() if known is not None}
        if len(told) < len(values):
            shown = ", ".join(ascii(text) for text in values[:5])
            raise DataError(
                f"{role}, column {column!r} holds {shown}: say which class is the positive one, "
                "classes=(negative, positive)"
            )
        named = told | named
    return named.get(False, "0"), named.get(True, "1")


def as_named(texts: Texts, classes: tuple[str, ...]) -> Texts:
    """Write yes and no as these classes do, if they are words for yes and no.

    Examples
    --------
    >>> as_named(pa.chunked_array([["0", "1"]]), ("no", "yes")).to_pylist()
    ['no', 'yes']
    """
    meant = {BOOLEAN_WORDS.get(name.strip().lower()): name for name in classes}
    if set(meant) != {True, False}:
        return texts
    seen = texts.unique().to_pylist()
    other = {t: meant.get(BOOLEAN_WORDS.get(t.strip().lower())) for t in seen if t is not None}
    renamed = [(old, new) for old, new in other.items() if new is not None and old != new]
    for old, new in renamed:
        changed = pc.if_else(pc.equal(texts, pa.scalar(old)), pa.scalar(new), texts)
        texts = cast("Texts", changed)
    return texts


def unknown_classes(
    labels: Texts, classes: tuple[str, ...], where: str, *, binary: bool
) -> tuple[str, ...]:
    """Return classes that occur among labels and are not named, in order.

    Raises
    ------
    DataError
        If one of them may be a named class that is written in another way: of two classes one
        never occurs, or one of several occurs in other letters only; or if there are too many.

    Examples
    --------
    >>> unknown_classes(pa.chunked_array([["a", "b", "new"]]), ("a", "b"), "data", binary=False)
    ('new',)
    """
    texts = as_named(labels, classes) if binary else labels
    seen = {str(text) for text in texts.unique().to_pylist() if text is not None}
    new = sorted(seen - set(classes), key=natural)
    written = {text.strip().casefold() for text in new}
    for name in classes:
        if new and name not in seen and (binary or name.strip().casefold() in written):
            raise DataError(
                f"{where} holds {new[0]!a}, which is none of the classes, and never "
                f"{name!a}, which is one: name classes as the data write them"
            )
    if len(classes) + len(new) > MOST_CLASSES:
        raise DataError(f"{where} has more than {MOST_CLASSES} classes")
    return tuple(new)


def natural(text: str) -> tuple[float, str]:
    """Return the place of a class among others: numbers by size, then words.

    Examples
    --------
    >>> sorted(["b", "10", "9"], key=natural)
    ['9', '10', 'b']
    """
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
