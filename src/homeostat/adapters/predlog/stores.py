"""Object stores by their addresses; who may write there is told by the environment alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

from homeostat.adapters.predlog.objects import KEY_BYTES, ObjectStore
from homeostat.domain.errors import StorageError

SCHEMES = ("s3", "gs", "abfs", "abfss")
"""What PyArrow reaches itself; others go through fsspec."""


@dataclass(frozen=True, slots=True)
class Storage:
    """An object store.

    Attributes
    ----------
    address : str
        ``s3://bucket/prefix``, ``gs://bucket/prefix``,
        ``abfss://container@account.dfs.core.windows.net/prefix``, or any that fsspec knows.
    endpoint : str
        Of a server that speaks the protocol of another: ``https://host:port``.
    region : str
        Of the bucket; empty: as the environment says.
    timeout : float
        Seconds without a byte after which a call has failed.
    attempts : int
        Calls of which the last one's failure is told.
    key_bytes : int
        Room for key files on this machine.
    """

    address: str
    endpoint: str = ""
    region: str = ""
    timeout: float = 10.0
    attempts: int = 3
    key_bytes: int = KEY_BYTES


def object_store(
    storage: Storage, environ: Mapping[str, str]
) -> Callable[[Path, int], ObjectStore]:
    """Return what makes the place of a log, of its folder and its salt.

    Raises
    ------
    StorageError
        If nothing here reaches such a store: then the message says what to install.
    """
    files, base = _reached(storage, environ)
    name = storage.address.rstrip("/")

    def make(root: Path, salt: int) -> ObjectStore:
        owner = hashlib.sha256(salt.to_bytes(8, "little")).hexdigest()[:32]
        return ObjectStore(files, base, name, root, owner, storage.key_bytes)

    return make


def _reached(storage: Storage, environ: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    parts = urlsplit(storage.address)
    base = f"{parts.netloc}{parts.path}".strip("/")
    try:
        match parts.scheme:
            case "s3":
                return _s3(storage), base
            case "gs":
                return _gcs(storage), base
            case "abfs" | "abfss":
                base = f"{parts.username}{parts.path}".strip("/")
                return _azure(storage, parts.hostname or "", environ), base
            case _:
                return _by_fsspec(storage.address)
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(
            f"the object store {storage.address} cannot be used: {error}; pip install "
            "'homeostat[remote]', or the package of fsspec for it, may be missing"
        ) from error


def _s3(storage: Storage) -> fs.FileSystem:
    return fs.S3FileSystem(  # type: ignore[call-arg]  # its stubs are older
        endpoint_override=storage.endpoint or None,
        region=storage.region or None,
        connect_timeout=storage.timeout,
        request_timeout=storage.timeout,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=storage.attempts),
        # Small files in one call: none of their parts can be left behind.
        allow_delayed_open=True,
        background_writes=False,
    )


def _gcs(storage: Storage) -> fs.FileSystem:
    parts = urlsplit(storage.endpoint)
    limit = timedelta(seconds=storage.timeout * storage.attempts)
    return fs.GcsFileSystem(
        endpoint_override=parts.netloc or None,
        scheme=parts.scheme or "https",
        anonymous=bool(storage.endpoint),  # servers that stand in for it know nobody
        retry_time_limit=limit,
    )


def _azure(storage: Storage, host: str, environ: Mapping[str, str]) -> fs.FileSystem:
    parts = urlsplit(storage.endpoint)
    return fs.AzureFileSystem(  # type: ignore[call-arg]  # its stubs are older
        host.partition(".")[0],
        account_key=environ.get("AZURE_STORAGE_KEY") or None,
        sas_token=environ.get("AZURE_STORAGE_SAS_TOKEN") or None,
        blob_storage_authority=parts.netloc or None,
        blob_storage_scheme=parts.scheme or None,
        dfs_storage_authority=parts.netloc or None,
        dfs_storage_scheme=parts.scheme or None,
    )


def _by_fsspec(address: str) -> tuple[fs.FileSystem, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415

    files, base = url_to_fs(address)
    handler = fs.FSSpecHandler(files)  # type: ignore[abstract]  # it is not
    return fs.PyFileSystem(handler), base.rstrip("/")
