"""Runbooks: from the name in an alert rule to text on the incident's page."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from markdown_it import MarkdownIt

CHECKOUT = Path(__file__).parents[4] / "runbooks"


def shelf() -> Path:
    """Return the folder of runbooks: the installed one, or that of the checkout."""
    installed = Path(str(files("homeostat"))) / "runbooks"
    return installed if installed.is_dir() else CHECKOUT


def render(runbook: str, folder: Path) -> str | None:
    """Return a runbook as HTML, None if the folder has none of that name.

    Only the name counts, not the path before it; raw HTML in it shows as text.
    """
    name = Path(runbook).name
    path = folder / (name if name.endswith(".md") else f"{name}.md")
    if not path.is_file():
        return None
    text = path.read_text("utf-8")
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def is_address(runbook: str) -> bool:
    """Whether the runbook is kept elsewhere and can be linked."""
    return runbook.startswith(("https://", "http://"))
