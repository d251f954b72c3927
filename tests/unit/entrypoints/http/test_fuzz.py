"""Whatever comes as a body is answered: taken, or refused with what to do about it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from fuzzing import bodies
from ingesting import opened


@pytest.mark.parametrize("seed", [1, 2])
def test_no_body_makes_the_server_fail(tmp_path: Path, seed: int) -> None:
    counts = Counter[int]()
    with opened(tmp_path) as world:
        for sent in islice(bodies(seed), 500):
            headers = {"Content-Type": sent.kind, "Content-Encoding": sent.encoding}
            answer = world.client.post(sent.path, content=sent.body, headers=headers)
            counts[answer.status_code] += 1
            assert answer.status_code in {200, 400, 413, 422}, (sent, answer.text)
            assert answer.status_code == 200 or answer.json()["remedy"]
    assert min(counts[status] for status in (200, 400, 422)) > 20, "all ways were gone"
