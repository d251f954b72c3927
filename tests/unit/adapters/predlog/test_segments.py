import fcntl
from pathlib import Path

import pytest

from homeostat.adapters.predlog.frames import HEADER, Kind, damaged_at, pack, scan
from homeostat.adapters.predlog.segments import (
    SegmentWriter,
    damaged_names,
    remove_if_abandoned,
    segment_names,
)
from homeostat.simulation.conformance.log import T0, labels, predictions


def test_frames_come_back_in_order(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    sent = [(Kind.PREDICTIONS, "é", predictions(["a"])), (Kind.LABELS, "b", labels(["x"], 1, T0))]
    ends = writer.write([pack(*sent[0])]) + writer.write([pack(*sent[1])])
    path = tmp_path / writer.segment
    found = list(scan(path, 0))
    assert [(f.kind, f.model) for f in found] == [(kind, model) for kind, model, _ in sent]
    assert all(f.rows.equals(rows) for f, (_, _, rows) in zip(found, sent, strict=True))
    assert [(writer.segment, f.end) for f in found] == ends
    assert [f.end for f in scan(path, found[0].end)] == [found[1].end]
    assert [f.end for f in scan(path, 0, found[0].end)] == [found[0].end]


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, segment_bytes=1)
    for _ in range(3):
        writer.write([pack(Kind.PREDICTIONS, "m", predictions(["a"]))])
    assert len(segment_names(tmp_path)) == 3


def test_only_rolled_segments_without_writer_are_removed(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    frame = pack(Kind.PREDICTIONS, "m", predictions(["a"]))
    ((segment, end),) = writer.write([frame])
    path = tmp_path / segment
    assert not remove_if_abandoned(path, end), "still locked by its writer"
    writer.close()
    assert not remove_if_abandoned(path, 0), "not rolled yet"
    with path.open("ab") as file:
        file.write(frame[:-3])
    assert remove_if_abandoned(path, end), "a torn tail was never acknowledged"
    assert segment_names(tmp_path) == []


FRAMES = [pack(Kind.PREDICTIONS, "m", predictions([name])) for name in "abc"]
SIZE = len(FRAMES[0])


@pytest.mark.parametrize("byte", [*range(HEADER.size), HEADER.size, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_flipped_bit_costs_one_frame_and_the_segment_is_kept(
    tmp_path: Path, frame: int, byte: int
) -> None:
    path = tmp_path / "1.seg"
    ends = [SIZE, 2 * SIZE, 3 * SIZE]
    for bit in range(8):
        data = bytearray(b"".join(FRAMES))
        data[frame * SIZE + byte] ^= 1 << bit
        path.write_bytes(data)
        kept = [end for end in ends if end != ends[frame]]
        assert [found.end for found in scan(path, 0)] == kept
        assert damaged_at(path) == frame * SIZE
        assert remove_if_abandoned(path, kept[-1])
        assert segment_names(tmp_path) == []
        assert damaged_names(tmp_path) == ["1.seg.damaged"]
        assert (tmp_path / "1.seg.damaged").read_bytes() == data


def test_a_last_frame_that_is_cut_anywhere_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "1.seg"
    for size in range(SIZE):
        path.write_bytes(FRAMES[0] + FRAMES[1][:size])
        inner_end = FRAMES[1][:size].endswith(b"\xff" * 4 + b"\0" * 4)
        assert (damaged_at(path) is None) is not inner_end, size
    path.write_bytes(b"")
    assert damaged_at(path) is None


def test_a_new_segment_that_a_roll_took_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", late)
    writer = SegmentWriter(tmp_path)
    writer.write([bytearray(b"frame")])
    assert [path.name for path in tmp_path.iterdir()] == [writer.segment]
    assert writer.segment != taken[0].name
