"""Text that may quote data, made harmless for each kind of receiver and cut to its limits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html import escape as html
from urllib.parse import quote

from homeostat.domain.effect import Notify
from homeostat.domain.text import printable

CUT = "…"
MENTION = re.compile(r"@(?=\w)")
ANGLES = str.maketrans("<>", "\u2039\u203a")
JOINER = "\u2060"
"""WORD JOINER: invisible, and what follows an @ is no name any more."""


def one_line(text: str, most: int) -> str:
    r"""Return text as one line of at most `most` characters, without control characters.

    Examples
    --------
    >>> one_line("a\nb\x00c", 80), one_line("abcdef", 4)
    ('a b\\x00c', 'abc…')
    """
    return cut(printable(" ".join(text[: 4 * most].split())), most)


def several_lines(text: str, most: int) -> str:
    r"""Return text of at most `most` characters; only line feeds remain of control characters.

    Examples
    --------
    >>> several_lines("a\r\nb\x1b", 80)
    'a\nb\\x1b'
    """
    return cut("\n".join(map(printable, text[: 4 * most].splitlines())), most)


def cut(text: str, most: int) -> str:
    """Return at most so many characters, with a sign where something is missing."""
    return text if len(text) <= most else text[: most - 1] + CUT


def fitted(text: str, most: int, escape: Callable[[str], str]) -> str:
    """Return the escaped text, cut before it is escaped so that it has at most `most` characters.

    Examples
    --------
    >>> fitted("a < b", 80, mrkdwn), fitted("<<<<", 10, mrkdwn)
    ('a &lt; b', '&lt;&lt;…')
    """
    escaped = escape(text)
    if len(escaped) <= most:
        return escaped
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(escape(text[:middle])) < most else (low, middle - 1)
    return escape(text[:low]) + CUT


def mrkdwn(text: str) -> str:
    """Escape what Slack would read as a link, a mention or a call of everybody.

    Examples
    --------
    >>> mrkdwn("<!channel> *now* & `here`")
    '&lt;!channel&gt; *now* &amp; `here`'
    """
    return html(unmentioned(text), quote=False)


def unmentioned(text: str) -> str:
    """Break names that begin with an at sign, so that they call nobody.

    Examples
    --------
    >>> len(unmentioned("@channel")) - len("@channel")
    1
    """
    return MENTION.sub(f"@{JOINER}", text)


def untagged(text: str) -> str:
    """Replace angle brackets where it is not known whether tags are read as such.

    Examples
    --------
    >>> untagged("<img src=x>")
    '‹img src=x›'
    """
    return text.translate(ANGLES)


def no_pairs(text: str) -> str:
    """Replace colons that Alertmanager, which reads some texts as YAML, would take for a mapping.

    Examples
    --------
    >>> no_pairs("fraud: drift on a: 500m at 12:30")
    'fraud - drift on a - 500m at 12:30'
    """
    return re.sub(r":(?=\s|$)", " -", text)


def stable_key(key: str, most: int) -> str:
    """Return an incident's key in at most so many characters; different ones stay different.

    Examples
    --------
    >>> stable_key("fraud:data_fault:1", 255), len(stable_key("x" * 300, 255))
    ('fraud:data_fault:1', 255)
    """
    plain = printable(key)
    if len(plain) <= most and plain == key:
        return plain
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{plain[: most - 17]}~{digest}"


def incident_page(base: str, notice: Notify) -> str:
    """Return the address of an incident's page; empty if no base address is configured.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.domain.decision import Severity
    >>> from homeostat.domain.effect import NotifyAction
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> words = ("fraud", "drift", "amount moved", "runbooks/data-drift.md")
    >>> notice = Notify("fraud:drift:1", NotifyAction.TRIGGER, "r", Severity.INFO, *words, now)
    >>> incident_page("https://ml.example.org/", notice)
    'https://ml.example.org/incidents/fraud%3Adrift%3A1'
    """
    return f"{base.rstrip('/')}/incidents/{quote(notice.incident, safe='')}" if base else ""


def runbook_link(base: str, notice: Notify) -> str:
    """Return where the runbook can be read: its own address, or the incident's page."""
    if notice.runbook.startswith(("https://", "http://")):
        return quote(notice.runbook, safe="/%:@!$&'()*+,;=~?#[]")
    return incident_page(base, notice)
