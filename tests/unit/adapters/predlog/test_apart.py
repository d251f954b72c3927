"""Files whose times need not be read to know where their rows belong."""

from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parts import apart


def entry(number: int, first: int, last: int) -> FileEntry:
    return FileEntry(Kind.PREDICTIONS, "m", "2024-01-01", f"{number}", 1, 1, first, last)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=6),
    st.integers(0, 20),
    st.integers(1, 30),
)
def test_those_that_share_no_moment_with_others_or_the_windows_edge(
    spans: list[tuple[int, int]], start: int, size: int
) -> None:
    files = [entry(number, at, at + long) for number, (at, long) in enumerate(spans)]
    moments = {file.path: set(range(file.first, file.last + 1)) for file in files}
    inside = set(range(start, start + size))
    expected = {
        path
        for path, own in moments.items()
        if own <= inside
        and not any(own & others for other, others in moments.items() if other != path)
    }
    assert {file.path for file in apart(files, start, start + size)} == expected
