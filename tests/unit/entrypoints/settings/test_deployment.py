from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError, NotFoundError
from homeostat.entrypoints.bootstrap import log_place
from homeostat.entrypoints.settings import Settings, load

MODEL = """\
  - name: {name}
    task: binary
    features: {{amount: numeric}}
    labels: {{maturity: 60d}}
"""


def settings(folder: Path, *names: str, more: str = "", top: str = "") -> Settings:
    path = folder / "homeostat.yaml"
    path.write_text(top + "models:\n" + "".join(MODEL.format(name=n) for n in names) + more)
    return load(path)


def test_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(tmp_path, "a", top="data: here\n")
    monkeypatch.chdir("/")
    assert found.data_folder == tmp_path / "here"
    assert found.log_folder.parent == found.models_folder.parent == found.data_folder
    assert found.records_url({}) == f"sqlite:///{tmp_path}/here/records.db"


def test_the_records_url_may_come_from_the_environment(tmp_path: Path) -> None:
    assert (
        settings(tmp_path, "a", top="records: sqlite:///x.db\n").records_url({}) == "sqlite:///x.db"
    )
    found = settings(tmp_path, "a", top="records_env: DB\n")
    assert found.records_url({"DB": "postgresql://h/d"}) == "postgresql://h/d"
    with pytest.raises(ConfigError, match="records_env: the environment variable DB is not set"):
        found.records_url({})


def test_model_by_name(tmp_path: Path) -> None:
    assert settings(tmp_path, "a").model().name == "a"
    found = settings(tmp_path, "alpha", "beta")
    assert found.model("beta").name == "beta"
    with pytest.raises(NotFoundError, match="name one of the models: alpha, beta"):
        found.model()
    with pytest.raises(NotFoundError, match="did you mean 'beta'"):
        found.model("bta")


def test_the_trainer_is_a_file_beside_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add retraining"):
        settings(tmp_path, "a").trainer("a")
    found = settings(tmp_path, "a", more="    retraining: {trainer: 'train.py:fit'}\n")
    with pytest.raises(ConfigError, match="there is no file"):
        found.trainer("a")
    (tmp_path / "train.py").write_text("")
    assert found.trainer("a") == (tmp_path / "train.py", "fit")


def test_each_model_may_have_a_folder_of_label_files(tmp_path: Path) -> None:
    path = tmp_path / "homeostat.yaml"
    text = "models:\n" + "".join(MODEL.format(name=name) for name in "abc")
    first, second, third = (
        f"maturity: 60d, folder: {name}" for name in ("in/a", "/in/b", "./in/a")
    )
    text = text.replace("maturity: 60d", first, 1)
    path.write_text(text.replace("{maturity: 60d}", f"{{{second}}}", 1))
    found = load(path)
    assert found.label_folder("a") == tmp_path / "in/a"
    assert found.label_folder("b") == Path("/in/b")
    assert found.label_folder("c") is None
    path.write_text(text.replace("{maturity: 60d}", f"{{{third}}}", 1))
    with pytest.raises(ConfigError, match=r"labels\.folder: is also that of models\.0"):
        load(path)


def test_settings_are_frozen(tmp_path: Path) -> None:
    found = settings(tmp_path, "a")
    with pytest.raises(ValueError, match="frozen"):
        found.data = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("parquet: bucket/logs", "is not the address of an object store"),
        ("parquet: 's3:bucket/logs'", "is not the address of an object store"),
        ("parquet: 's3://[bucket/logs'", "is not an address"),
        ("parquet: 's3://bucket/'", "names no prefix"),
        ("parquet: 's3://key:secret@bucket/logs'", "holds a password or options"),
        ("parquet: 's3://bucket/logs?access_key=x'", "holds a password or options"),
        ("parquet: 's3://bucket/logs', endpoint: 'minio:9000'", "is not an http or https URL"),
    ],
    ids=["no-scheme", "no-slashes", "no-url", "no-prefix", "password", "options", "endpoint"],
)
def test_storage_that_cannot_be_meant(tmp_path: Path, storage: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(tmp_path, "a", top=f"storage: {{{storage}}}\n")


def test_storage(tmp_path: Path) -> None:
    assert log_place(settings(tmp_path, "a"), {}) is None
    text = (
        "storage: {parquet: 'memory://bucket/logs', endpoint: 'http://minio:9000', attempts: 2}\n"
    )
    make = log_place(settings(tmp_path, "a", top=text), {})
    assert make is not None
    assert make(tmp_path, 1).name == "memory://bucket/logs"


@pytest.mark.parametrize(
    ("gateway", "told"),
    [
        ("{log: 'ftp://h'}", "gateway.log: is not an http or https URL"),
        ("{log: 'https://u:secret@h'}", "gateway.log: holds a password"),
        ("{log_token_env: TOKEN}", "gateway.log_token_env: is of no use without log"),
        ("{workers: 0}", "gateway.workers: "),
    ],
    ids=["scheme", "password", "token", "workers"],
)
def test_a_gateway_that_cannot_be_meant(tmp_path: Path, gateway: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(tmp_path, "a", top=f"gateway: {gateway}\n")


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("{url: 'ftp://h'}", "server.remote_write.url: is not an http or https URL"),
        ("{url: 'https://u:secret@h'}", "server.remote_write.url: .*; use token_env"),
        ("{url: 'https://h', every: 20ms}", "server.remote_write.every: is less than a second"),
    ],
    ids=["scheme", "password", "every"],
)
def test_remote_write_that_cannot_be_meant(tmp_path: Path, server: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(tmp_path, "a", top=f"server: {{remote_write: {server}}}\n")


def test_answers_wait_in_the_data_folder_unless_told(tmp_path: Path) -> None:
    plain = settings(tmp_path, "a")
    assert plain.spill_folder == plain.data_folder / "gateway-spill"
    other = settings(tmp_path, "a", top="gateway: {spill: {folder: elsewhere}}\n")
    assert other.spill_folder == tmp_path.resolve() / "elsewhere"
