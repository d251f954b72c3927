"""Figures in the text formats of Prometheus: its own (0.0.4) and OpenMetrics (1.0).

References
----------
https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from homeostat.domain.verdict import segment_value

CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TAIL = "# EOF\n"
EXEMPLAR = ' # {trace_id="'
"""What an exemplar begins with; no label's value can hold it, as its quotes are escaped."""
UNITS = ("seconds", "bytes", "ratio")
UNPRINTABLE = dict.fromkeys((*range(32), 127), "�")
del UNPRINTABLE[ord("\n")]


class Kind(StrEnum):
    """What a family's samples are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Definition:
    """A family before it has samples: its kind, labels and what it says.

    Attributes
    ----------
    kind : Kind
    labels : tuple of str
    about : str
        One sentence, shown as HELP.
    """

    kind: Kind
    labels: tuple[str, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure: the values of the family's labels, the number, and what the name ends with."""

    values: tuple[str, ...]
    number: float
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name.

    ``name`` is without the ``_total`` of counters and the ``_info`` of infos.
    """

    name: str
    definition: Definition
    samples: tuple[Sample, ...]

    def text(self, *, openmetrics: bool) -> str:
        """Return HELP, TYPE (and UNIT) and the samples."""
        kind = self.definition.kind
        ending = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(kind, "")
        shown = self.name if openmetrics else self.name + ending
        told: str = "gauge" if kind is Kind.INFO and not openmetrics else kind
        lines = [f"# HELP {shown} {_helped(self.definition.about)}", f"# TYPE {shown} {told}"]
        unit = self.name.rpartition("_")[2]
        if openmetrics and unit in UNITS:
            lines.append(f"# UNIT {shown} {unit}")
        lines += [
            line(self.name + (s.ending or ending), self.definition.labels, s.values, s.number)
            for s in self.samples
        ]
        return "\n".join(lines) + "\n"


class Sheet:
    """Takes figures in any order and gives them back as families, in the order of the definitions.

    Parameters
    ----------
    defined : mapping of name to Definition
        What can be written down; another name is a KeyError.

    Examples
    --------
    >>> sheet = Sheet({"asked": Definition(Kind.COUNTER, ("model",), "Requests.")})
    >>> sheet.put("asked", "fraud", number=3)
    >>> print(render(sheet.families(), openmetrics=False), end="")
    # HELP asked_total Requests.
    # TYPE asked_total counter
    asked_total{model="fraud"} 3
    """

    def __init__(self, defined: Mapping[str, Definition]) -> None:
        self._defined = defined
        self._samples: dict[str, dict[tuple[str, tuple[str, ...]], float]] = {}

    def put(self, name: str, *values: str, number: float, ending: str = "") -> None:
        """Write a figure down; of two with the same labels the later one counts."""
        labels = self._defined[name].labels
        if len(values) != len(labels):
            raise ValueError(f"{name} has the labels {labels}, and was given {len(values)} values")
        shown = tuple(map(label_value, values))
        self._samples.setdefault(name, {})[ending, shown] = number

    def families(self) -> tuple[Family, ...]:
        """Return the families that have samples."""
        return tuple(
            Family(name, definition, _ordered(self._samples[name]))
            for name, definition in self._defined.items()
            if name in self._samples
        )


def _ordered(samples: Mapping[tuple[str, tuple[str, ...]], float]) -> tuple[Sample, ...]:
    return tuple(Sample(values, number, ending) for (ending, values), number in samples.items())


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Return the whole exposition."""
    text = "".join(family.text(openmetrics=openmetrics) for family in families)
    return text + TAIL if openmetrics else text


def dressed(text: str, abouts: Mapping[str, str], *, openmetrics: bool) -> str:
    r"""Give an exposition that has TYPE lines only its HELP lines, and OpenMetrics' form if asked.

    Exemplars are left out of the classic format, which has none.

    Parameters
    ----------
    text : str
        In the classic format, families of one name together.
    abouts : mapping of name to str
        What the families say, by their name as it stands in the TYPE line.
    openmetrics : bool

    Examples
    --------
    >>> text = "# TYPE asked_total counter\nasked_total 3\n"
    >>> print(dressed(text, {"asked_total": "Requests."}, openmetrics=True), end="")
    # HELP asked Requests.
    # TYPE asked counter
    asked_total 3
    # EOF
    """
    lines: list[str] = []
    for each in text.splitlines():
        if each.startswith("# TYPE "):
            _, _, name, kind = each.split(" ")
            shown = name.removesuffix("_total") if openmetrics else name
            if name in abouts:
                lines.append(f"# HELP {shown} {_helped(abouts[name])}")
            lines.append(f"# TYPE {shown} {kind}")
        elif each:
            lines.append(each if openmetrics else each.partition(EXEMPLAR)[0])
    return "\n".join(lines) + "\n" + (TAIL if openmetrics else "")


def wants_openmetrics(accept: str) -> bool:
    """Whether a scraper would rather have OpenMetrics, by its Accept header.

    Examples
    --------
    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3")
    True
    >>> wants_openmetrics("text/plain, application/openmetrics-text;q=0.1"), wants_openmetrics("")
    (False, False)
    """
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind.lower() in weights:
            weights[kind.lower()] = _weight(parameters)
    mine, plain, anything = weights.values()
    return mine > 0 and mine >= max(plain, anything)


def _weight(parameters: Sequence[str]) -> float:
    given = next((p[2:] for p in parameters if p.lower().startswith("q=")), "1")
    try:
        return float(given)
    except ValueError:
        return 0.0


def line(name: str, labels: Sequence[str], values: Sequence[str], number: float) -> str:
    r"""Return one sample, values escaped.

    Examples
    --------
    >>> line("rows_total", ("model",), ("fraud",), 3)
    'rows_total{model="fraud"} 3'
    >>> line("up", (), (), float("inf")), line("odd", ("model",), ('a"b\r\n',), float("nan"))
    ('up +Inf', 'odd{model="a\\"b�\\n"} NaN')
    """
    pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {_shown(number)}" if pairs else f"{name} {_shown(number)}"


def exemplar(trace: str, span: str, number: float, at: float) -> str:
    """Return an exemplar, as it follows the sample of a bucket.

    Parameters
    ----------
    trace, span : str
        Ids in hexadecimal, as W3C Trace Context has them.
    number : float
        What was observed.
    at : float
        When, in seconds since 1970.

    Examples
    --------
    >>> line("b", ("le",), ("0.1",), 3) + exemplar("4bf9", "00f0", 0.07, 1.5)
    'b{le="0.1"} 3 # {trace_id="4bf9",span_id="00f0"} 0.07 1.500'
    """
    return f'{EXEMPLAR}{trace}",span_id="{span}"}} {number} {at:.3f}'


def label_value(value: str) -> str:
    """Return a value from data as it is exported: a long one is cut, with a digest.

    Examples
    --------
    >>> len(label_value("x" * 10_000))
    97
    """
    return segment_value(value)


def _shown(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(number)


def _escape(value: str) -> str:
    """Escape a label's value; what no parser would take becomes a replacement character."""
    sound = value.encode("utf-8", "replace").decode().translate(UNPRINTABLE)
    return sound.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _helped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
