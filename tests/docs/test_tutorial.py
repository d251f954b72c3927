"""The tutorial works as it stands, but for the installation and the server."""

import re
from pathlib import Path

import pytest

from homeostat.entrypoints.cli import run

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_command_of_the_tutorial_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = ""
    for kind, block in BLOCK.findall(TUTORIAL.read_text()):
        if kind == "python":
            exec(compile(block, str(TUTORIAL), "exec"), {})
            continue
        for line in block.splitlines():
            program, *arguments = line.split()
            if program == "homeostat":
                assert run(arguments) == 0, line
                told += capsys.readouterr().out
    assert re.search(r"^amount +numeric +drift", told, re.MULTILINE)
    assert "concept drift: What the inputs mean has changed" in told
    assert "fire" in told
    assert "history: version 1 is the champion (served elsewhere" in told
