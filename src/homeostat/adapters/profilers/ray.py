"""Jobs on Ray: the cluster that the process is connected to, or this machine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from homeostat.adapters.profilers.engine import Packed, Piece, Pool, Task, merged
from homeostat.domain.errors import UserError

INSTALL = "pip install ray"

_FAN = 16  # parts that one task merges


def ray_engine() -> Pool:
    """Return an engine that runs on Ray.

    Raises
    ------
    UserError
        If Ray is not installed.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UserError(f"Ray is not installed; {INSTALL}") from error

    def spread(task: Task, pieces: Sequence[Piece]) -> Packed:
        work = ray.remote(_work)
        merge = ray.remote(_merge)
        layer = [work.remote(task, piece) for piece in pieces]
        while len(layer) > 1:
            groups = [layer[at : at + _FAN] for at in range(0, len(layer), _FAN)]
            layer = [merge.remote(*group) for group in groups]
        try:
            packed: Packed = ray.get(layer[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return packed

    return Pool(spread)


def _work(task: Task, piece: Piece) -> Packed:
    return task(piece)


def _merge(*several: Packed) -> Packed:
    return merged(several)
