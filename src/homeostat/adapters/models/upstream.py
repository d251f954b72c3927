"""What a remote artifact says: where the model is, and how it is spoken to (``upstream.json``)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from homeostat.adapters.models.encoding import Encoding, read_json
from homeostat.domain.errors import ArtifactError
from homeostat.serving.classify import Upstream

FILE = "upstream.json"
PREFIX = "HOMEOSTAT_UPSTREAM_"
LAYOUTS = ("matrix", "columns")
DATATYPES = ("FP32", "FP64")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
KEYS = frozenset(
    {
        *("server", "urls", "features", "categories", "layout", "input", "output", "datatype"),
        *("missing", "headers", "timeout", "retries", "hedge", "connections"),
    }
)


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """A model elsewhere.

    Attributes
    ----------
    server : Upstream
        Who answers; it decides the protocol and what a status code means.
    urls : tuple of str
        Where requests are posted to; several are equals.
    encoding : Encoding
        The features, and the codes of categories in a matrix.
    layout : str
        ``matrix``: all features as one matrix of numbers; ``columns``: each as it is.
    input : str
        Name of the tensor in a matrix (Open Inference Protocol).
    output : str
        Which output, or which field of each answer, is the score; empty: the last, or the only one.
    datatype : str
        Of the matrix (Open Inference Protocol).
    missing : float, optional
        Stands for missing numbers, which are null without it.
    headers : mapping of str to str
        Header to environment variable with its value.
    timeout : float
        Seconds that one call may take.
    retries : int
        Most times that a request is sent again.
    hedge : bool
        Whether a second endpoint is asked when the first is slow.
    connections : int
        Most calls under way at once.
    """

    server: Upstream
    urls: tuple[str, ...]
    encoding: Encoding
    layout: str = "matrix"
    input: str = "input-0"
    output: str = ""
    datatype: str = "FP64"
    missing: float | None = None
    headers: Mapping[str, str] | None = None
    timeout: float = 1.0
    retries: int = 1
    hedge: bool = False
    connections: int = 128


def read_upstream(path: Path, hosts: Collection[str]) -> UpstreamSpec:
    """Read the file of an artifact folder.

    Raises
    ------
    ArtifactError
        If it is absent or not of the documented form, or names a host that is not allowed.
    """
    file = path / FILE
    content = read_json(file)
    unknown = sorted(set(content) - KEYS)
    if unknown:
        raise ArtifactError(f"{file}: no such settings: {', '.join(unknown)}")
    servers = [str(one) for one in Upstream]
    hedge = content.get("hedge", False)
    if not isinstance(hedge, bool):
        raise ArtifactError(f"{file}: 'hedge' must be true or false")
    urls = _urls(file, content.get("urls"), hosts)
    if hedge and len(urls) < 2:
        raise ArtifactError(f"{file}: 'hedge' needs a second address in 'urls'")
    missing = content.get("missing")
    return UpstreamSpec(
        server=Upstream(_choice(file, content, "server", servers, None)),
        urls=urls,
        encoding=Encoding.load(file),
        layout=_choice(file, content, "layout", LAYOUTS, LAYOUTS[0]),
        input=_text(file, content, "input", "input-0"),
        output=_text(file, content, "output", ""),
        datatype=_choice(file, content, "datatype", DATATYPES, "FP64"),
        missing=None if missing is None else _number(file, content, "missing", 0.0, -math.inf),
        headers=_headers(file, content.get("headers", {})),
        timeout=_number(file, content, "timeout", 1.0, 0.001),
        retries=_whole(file, content, "retries", 1, 0, 5),
        hedge=hedge,
        connections=_whole(file, content, "connections", 128, 1, 10_000),
    )


def save_remote(
    folder: Path,
    server: str,
    urls: Sequence[str],
    features: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
    **settings: object,
) -> None:
    """Write an artifact folder of flavour ``remote``.

    Parameters
    ----------
    folder : Path
        Is made if need be.
    server : str
        ``kserve``, ``mlserver``, ``triton``, ``mlflow`` or ``json``.
    urls : sequence of str
        Where requests are posted to.
    features : sequence of str
        Columns that the model takes, in order.
    categories : mapping of str to sequence of str, optional
        For a matrix: the values of each categorical column in the order of their codes.
    **settings
        The other fields of `UpstreamSpec`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: list(values) for name, values in (categories or {}).items()}
    content = {"server": server, "urls": list(urls), "features": list(features)}
    content |= {"categories": known, **settings}  # type: ignore[dict-item]
    (folder / FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def header_values(
    path: Path, headers: Mapping[str, str] | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return headers with their values from the environment; an error never tells a value.

    Raises
    ------
    ArtifactError
        If a variable is not set, or its value cannot stand in a header.
    """
    found = {}
    for name, variable in (headers or {}).items():
        value = environ.get(variable, "")
        if not value:
            raise ArtifactError(f"{path / FILE}: the environment variable {variable} is not set")
        if not value.isascii() or not value.isprintable():
            raise ArtifactError(f"{path / FILE}: the value of {variable} cannot stand in a header")
        found[name] = value
    return found


def _urls(file: Path, given: object, hosts: Collection[str]) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise ArtifactError(f"{file}: 'urls' must be a list of addresses")
    for url in given:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in {"http", "https"}:
            raise ArtifactError(f"{file}: {url!r} is not an http or https address")
        if "@" in parts.netloc:
            raise ArtifactError(f"{file}: an address holds a user or password; use 'headers'")
        if not {host, f"{host}:{port}"} & set(hosts):
            raise ArtifactError(
                f"{file}: the host {parts.netloc!r} is not allowed; name it under "
                "gateway.upstream_hosts if it is yours"
            )
    return tuple(given)


def _headers(file: Path, given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ArtifactError(f"{file}: 'headers' must map names to environment variables")
    for name, variable in given.items():
        if not TOKEN.fullmatch(name) or name.lower() in OURS:
            raise ArtifactError(f"{file}: {name!r} cannot be set as a header")
        if not isinstance(variable, str) or not variable.startswith(PREFIX):
            # Or an artifact could send any secret of the environment to a host.
            raise ArtifactError(
                f"{file}: the value of header {name!r} must be the name of an environment "
                f"variable that begins with {PREFIX}"
            )
    return dict(given)


def _choice(
    file: Path,
    content: Mapping[str, object],
    key: str,
    known: Sequence[str],
    default: str | None,
) -> str:
    value = content.get(key, default)
    if not isinstance(value, str) or value not in known:
        raise ArtifactError(f"{file}: {key!r} must be one of {', '.join(known)}, not {value!r}")
    return value


def _text(file: Path, content: Mapping[str, object], key: str, default: str) -> str:
    value = content.get(key, default)
    if not isinstance(value, str):
        raise ArtifactError(f"{file}: {key!r} must be a text")
    return value


def _number(
    file: Path, content: Mapping[str, object], key: str, default: float, least: float
) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ArtifactError(f"{file}: {key!r} must be a finite number, not {value!r}")
    if value < least:
        raise ArtifactError(f"{file}: {key!r} must be at least {least:g}")
    return float(value)


def _whole(
    file: Path, content: Mapping[str, object], key: str, default: int, least: int, most: int
) -> int:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ArtifactError(f"{file}: {key!r} must be a whole number from {least} to {most}")
    return value
