"""Both parsers of prometheus_client on what `scrape.py --write FOLDER` wrote; see there."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client import parser as classic
from prometheus_client.openmetrics import parser as openmetrics


def main() -> None:
    """Print what each parser found."""
    folder = Path(sys.argv[1])
    for name, module in (("openmetrics", openmetrics), ("classic", classic)):
        text = (folder / f"{name}.txt").read_text()
        families = list(module.text_string_to_metric_families(text))
        print(f"{name}: {len(families)} families, {sum(len(f.samples) for f in families)} samples")


if __name__ == "__main__":
    main()
