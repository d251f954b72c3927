"""Load and memory of NVIDIA graphics cards, through NVML (extra ``gpu``)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Card:
    """One card at one moment.

    Attributes
    ----------
    index : int
    name : str
    utilisation : float
        Share of the last sample period in which a kernel ran, in [0, 1].
    used_bytes, total_bytes : int
        Memory.
    """

    index: int
    name: str
    utilisation: float
    used_bytes: int
    total_bytes: int


class Cards:
    """The machine's cards; none without the library, the driver or a card.

    A card that cannot be read is left out of that reading.
    """

    def __init__(self) -> None:
        self._count = 0
        try:
            import pynvml  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            return
        try:
            pynvml.nvmlInit()
            self._count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            logger.info("no graphics card is watched: %s", error)

    def read(self) -> list[Card]:
        """Return every card as it is now."""
        found = [_card(index) for index in range(self._count)]
        return [card for card in found if card is not None]


def _card(index: int) -> Card | None:
    import pynvml  # noqa: PLC0415 - an extra

    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = pynvml.nvmlDeviceGetName(handle)
        share = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError as error:
        logger.warning("graphics card %d cannot be read: %s", index, error)
        return None
    text = name.decode() if isinstance(name, bytes) else str(name)
    return Card(index, text, share, int(memory.used), int(memory.total))
