"""Rendering: escaping templates, static files with lasting addresses, time ranges in links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse

from homeostat.domain.errors import DataError
from homeostat.domain.window import Window
from homeostat.entrypoints.http.security import form_token, remember
from homeostat.reports.wording import number, span, when

STATIC = Path(__file__).parent / "static"
ASSETS = (
    "app.css",
    "charts.js",
    "live.js",
    "vendor/htmx-4.0.1.min.js",
    "vendor/vega-6.4.0.min.js",
    "vendor/vega-lite-6.5.0.min.js",
)
RANGES = (1, 7, 30, 90)
LONGEST_RANGE = 400
ICONS = {"critical": "■", "warning": "▲", "unknown": "○", "ok": "●"}
STATUS_LEVEL = {
    "ok": "ok",
    "drift": "warning",
    "error": "warning",
    "inconclusive": "unknown",
    "no_data": "unknown",
}
STATUS_WORDS = {
    "ok": "in order",
    "drift": "changed",
    "error": "failed",
    "inconclusive": "too early to say",
    "no_data": "no data",
}


@dataclass(frozen=True, slots=True)
class Period:
    """Time range of a page. ``until`` is None while the page follows the clock."""

    days: int
    until: datetime | None
    window: Window

    def query(self, days: int | None = None) -> str:
        """Return the query string that brings somebody else to the same view."""
        fields = {"days": str(days or self.days)}
        if self.until is not None:
            fields["until"] = self.until.isoformat(timespec="seconds")
        return urlencode(fields)


def period(request: Request, now: datetime) -> Period:
    """Read the time range from the address: ``days`` (default 30) and ``until`` (default now).

    Raises
    ------
    DataError
        If one of them is out of range or unreadable.
    """
    given = request.query_params.get("days", "30")
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= LONGEST_RANGE:
        raise DataError(f"days is {given!r}; it must be a whole number from 1 to {LONGEST_RANGE}")
    until = _moment(request.query_params.get("until", ""))
    end = until or now
    try:
        return Period(int(given), until, Window(end - timedelta(days=int(given)), end))
    except OverflowError:
        raise DataError(f"until is {end.isoformat()}; no data is that old") from None


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        # A plus sign that was not escaped in a link arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise DataError(
            f"until is {text!r}; it must be a time such as 2024-03-01T00:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@pass_context
def ago(context: Context, moment: datetime | None) -> str:
    """Say how long before the page's own time something was."""
    if moment is None:
        return "never"
    now = context["now"]
    assert isinstance(now, datetime)
    return f"{span(now - moment)} ago" if moment <= now else f"in {span(moment - now)}"


def evidence(value: float) -> str:
    """Write an e-value: of one that is huge only that it is.

    Examples
    --------
    >>> evidence(41.7), evidence(1e30)
    ('41.7', 'over a million')
    """
    return "over a million" if value > 1e6 else number(value)


def asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def environment() -> Environment:
    """Return the template environment; every value is escaped."""
    made = Environment(
        loader=PackageLoader("homeostat.entrypoints.http"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"when": when, "number": number, "span": span, "ago": ago, "evidence": evidence}
    made.globals |= {
        "assets": {name: asset(name) for name in ASSETS},
        "icons": ICONS,
        "ranges": RANGES,
        "status_level": STATUS_LEVEL,
        "status_words": STATUS_WORDS,
    }
    return made


def page(
    templates: Environment,
    request: Request,
    name: str,
    now: datetime,
    values: dict[str, object],
    status: int = 200,
) -> HTMLResponse:
    """Render a page, or only its live part when htmx asks for that."""
    token = form_token(request)
    part = request.headers.get("hx-request") == "true"
    template = templates.get_template(f"_{name}.html" if part else f"{name}.html")
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    text = template.render(values, now=now, form_token=token, here=here)
    response = HTMLResponse(text, status, headers={"Vary": "HX-Request"})
    remember(request, response, token)
    return response
