"""Graphics cards through the real bindings, and a library of our own in place of NVIDIA's.

There is no card where these tests run: what the driver itself answers is not tested.
"""

import ctypes
from collections.abc import Callable
from types import SimpleNamespace

import pynvml
import pytest

from homeostat.adapters.cards import Card, Cards

FINE, UNKNOWN, LOST = 0, 999, pynvml.NVML_ERROR_GPU_IS_LOST


def library(count: int, lost: frozenset[int] = frozenset(), start: int = FINE) -> SimpleNamespace:
    """Return functions with the C interface of libnvidia-ml.so."""

    def counted(into: object) -> int:
        into._obj.value = count  # type: ignore[attr-defined]
        return FINE

    def handle(index: object, into: object) -> int:
        number = index.value  # type: ignore[attr-defined]
        target = into._obj  # type: ignore[attr-defined]
        ctypes.memmove(ctypes.byref(target), ctypes.byref(ctypes.c_size_t(number + 1)), 8)
        return LOST if number in lost else FINE

    def name(_: object, into: object, __: object) -> int:
        into.value = b"Testing Card"  # type: ignore[attr-defined]
        return FINE

    def rates(_: object, into: object) -> int:
        into._obj.gpu, into._obj.memory = 42, 7  # type: ignore[attr-defined]
        return FINE

    def memory(_: object, into: object) -> int:
        found = into._obj  # type: ignore[attr-defined]
        found.total, found.free, found.used = 2**34, 2**34 - 2**30, 2**30
        return FINE

    functions: dict[str, Callable[..., int]] = {
        "nvmlInitWithFlags": lambda _: start,
        "nvmlDeviceGetCount_v2": counted,
        "nvmlDeviceGetHandleByIndex_v2": handle,
        "nvmlDeviceGetName": name,
        "nvmlDeviceGetUtilizationRates": rates,
        "nvmlDeviceGetMemoryInfo": memory,
    }
    return SimpleNamespace(**functions)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimpleNamespace], None]:
    def install(made: SimpleNamespace) -> None:
        monkeypatch.setattr(pynvml, "nvmlLib", made)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    return install


def test_cards_are_read(use: Callable[[SimpleNamespace], None]) -> None:
    use(library(2))
    expected = [Card(index, "Testing Card", 0.42, 2**30, 2**34) for index in (0, 1)]
    assert Cards().read() == expected


def test_a_lost_card_is_left_out(
    use: Callable[[SimpleNamespace], None], caplog: pytest.LogCaptureFixture
) -> None:
    use(library(2, frozenset({0})))
    assert [card.index for card in Cards().read()] == [1]
    assert "graphics card 0 cannot be read" in caplog.text


def test_a_driver_that_does_not_start_means_no_cards(
    use: Callable[[SimpleNamespace], None],
) -> None:
    use(library(1, start=UNKNOWN))
    assert Cards().read() == []


def test_no_driver_means_no_cards() -> None:
    assert Cards().read() == []


def test_no_bindings_mean_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert Cards().read() == []
