"""A breaker for each model and endpoint: one bad node must not close the door on the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from homeostat.domain.errors import OverloadError
from homeostat.serving.breaker import BreakerConfig, Transition
from homeostat.serving.guard import Breaker

Key = tuple[str, ...]
Told = Callable[[Key, Transition], None]


class Breakers:
    """Makes each breaker when it is first asked for, and gives the same one ever after.

    Parameters
    ----------
    monotonic : callable
        Returns monotonic seconds.
    config : BreakerConfig
        Of keys that have none of their own.
    configs : mapping of key to BreakerConfig
        By the longest beginning of the key: ``("fraud",)`` is for all endpoints of that model.
    listener : callable, optional
        Is told of every transition with its key; it must not raise.
    capacity : int
        Most breakers; keys are names from the configuration, not from requests.

    Examples
    --------
    >>> import time
    >>> breakers = Breakers(time.monotonic, configs={("fraud",): BreakerConfig(faults=1)})
    >>> breakers["fraud", "http://a"] is breakers["fraud", "http://a"]
    True
    >>> breakers["fraud", "http://a"].force_open()
    >>> {key: breaker.mode.value for key, breaker in breakers.items()}
    {('fraud', 'http://a'): 'forced_open'}
    >>> breakers["fraud", "http://b"].mode.value, breakers["fraud", "http://b"].config.faults
    ('closed', 1)
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        config: BreakerConfig = BreakerConfig(),
        configs: Mapping[Key, BreakerConfig] | None = None,
        listener: Told | None = None,
        capacity: int = 10_000,
    ) -> None:
        self._monotonic, self._config, self._configs = monotonic, config, dict(configs or {})
        self._listener, self._capacity = listener, capacity
        self._breakers: dict[Key, Breaker] = {}
        self._lock = threading.Lock()

    def __getitem__(self, key: Key) -> Breaker:
        """Return the breaker of the key.

        Raises
        ------
        OverloadError
            If it would be one more than `capacity`.
        """
        found = self._breakers.get(key)
        return self._made(key) if found is None else found

    def __len__(self) -> int:
        return len(self._breakers)

    def items(self) -> Iterator[tuple[Key, Breaker]]:
        """Go through the breakers there are at this moment."""
        return iter(list(self._breakers.items()))

    def remove(self, key: Key) -> None:
        """Forget a breaker, if there is one, such as that of a node that has gone."""
        with self._lock:
            self._breakers.pop(key, None)

    def _made(self, key: Key) -> Breaker:
        with self._lock:
            if len(self._breakers) >= self._capacity and key not in self._breakers:
                raise OverloadError(
                    f"there are {self._capacity} breakers already; are their keys taken from"
                    " requests? remove those that have gone"
                )
            listener = partial(self._listener, key) if self._listener else None
            made = Breaker(
                self._monotonic, self._config_of(key), name="/".join(key), listener=listener
            )
            return self._breakers.setdefault(key, made)  # another thread may have been first

    def _config_of(self, key: Key) -> BreakerConfig:
        beginnings = (key[:length] for length in range(len(key), 0, -1))
        return next((self._configs[k] for k in beginnings if k in self._configs), self._config)
