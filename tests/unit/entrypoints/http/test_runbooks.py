from pathlib import Path

from homeostat.entrypoints.http.runbooks import is_address, render, shelf


def test_only_the_name_counts(tmp_path: Path) -> None:
    inside = tmp_path / "books"
    inside.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (inside / "drift.md").write_text("# Drift")
    assert render("../secret.md", inside) is None
    assert render("runbooks/drift.md", inside) == "<h1>Drift</h1>\n"
    assert render("drift", inside) == "<h1>Drift</h1>\n"


def test_links_that_run_script_are_not_links(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text("[go](javascript:alert(1)) <img src=x onerror=alert(1)>")
    text = render("bad.md", tmp_path)
    assert "<a" not in text
    assert "<img" not in text


def test_addresses() -> None:
    assert is_address("https://wiki.example/drift")
    assert not is_address("javascript:alert(1)")
    assert not is_address("runbooks/drift.md")


def test_there_is_a_shelf() -> None:
    assert shelf().name == "runbooks"
