"""Jobs on Dask: its threads or processes, or the cluster whose client the process has."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from homeostat.adapters.profilers.engine import Packed, Piece, Pool, Task, merged
from homeostat.domain.errors import UserError

INSTALL = "pip install 'homeostat[dask]'"

_FAN = 16  # parts that one task merges


def dask_engine(scheduler: str = "") -> Pool:
    """Return an engine that runs on Dask.

    Parameters
    ----------
    scheduler : str
        ``"threads"``, ``"processes"`` or ``"synchronous"``. Empty: the client or the configuration
        that the process has, else threads.

    Raises
    ------
    UserError
        If Dask is not installed.
    """
    try:
        dask = import_module("dask")
    except ImportError as error:
        raise UserError(f"Dask is not installed; {INSTALL}") from error

    def spread(task: Task, pieces: Sequence[Piece]) -> Packed:
        layer = [dask.delayed(task, pure=False)(piece) for piece in pieces]
        while len(layer) > 1:
            groups = [layer[at : at + _FAN] for at in range(0, len(layer), _FAN)]
            layer = [dask.delayed(merged, pure=False)(group) for group in groups]
        chosen = {"scheduler": scheduler} if scheduler else {}
        (found,) = dask.compute(layer[0], **chosen)
        packed: Packed = found
        return packed

    return Pool(spread)
