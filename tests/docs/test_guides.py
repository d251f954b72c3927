"""The Python in the guides runs, block after block, as a reader would paste it."""

import re
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[2] / "docs/guide").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPARK = "from pyspark"  # run where Spark is set up: tests/integration/test_spark.py
LIVE = "hs.connect("  # run beside a server: tests/unit/entrypoints/test_connect.py
TEXTS = {guide: guide.read_text() for guide in GUIDES}
RUNNABLE = [
    guide
    for guide, text in TEXTS.items()
    if BLOCK.search(text) and SPARK not in text and LIVE not in text
]


@pytest.mark.parametrize("guide", RUNNABLE, ids=lambda guide: guide.stem)
def test_the_python_of_a_guide_runs(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall(guide.read_text()))
    names: dict[str, object] = {}
    exec(compile(code, str(guide), "exec"), names)
    assert "homeostat" in code


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", guide.read_text())
    assert not [link for link in links if not (guide.parent / link).exists()]
