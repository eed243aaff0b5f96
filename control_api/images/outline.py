"""The outlines of a symbol's dark areas.

Drawn as one path under the even-odd rule they leave no hairlines between modules, as rows of rectangles or strokes do
wherever a viewer smooths edges.
"""

from collections.abc import Iterator

from control_api.images.symbol import Modules

Point = tuple[int, int]
Outline = list[Point]


def trace_outlines(modules: Modules) -> list[Outline]:
    """Closed, by their corners (x to the right, y down, in modules); the way from last to first is left out."""
    ends: dict[Point, list[Point]] = {}
    for start, end in _edges(modules):
        ends.setdefault(start, []).append(end)
    outlines = []
    for start, open_ends in ends.items():
        while open_ends:
            outlines.append(_walk(start, ends))
    return outlines


def _edges(modules: Modules) -> Iterator[tuple[Point, Point]]:
    """The sides between dark and light, around the dark clockwise: as many enter each point as leave it."""
    size = len(modules)
    light = bytes(size + 2)
    rows = [light, *(b"\0" + row + b"\0" for row in modules), light]
    for y in range(size):
        above, row, below = rows[y], rows[y + 1], rows[y + 2]
        for x in range(size):
            if row[x + 1]:
                if not above[x + 1]:
                    yield (x, y), (x + 1, y)
                if not row[x + 2]:
                    yield (x + 1, y), (x + 1, y + 1)
                if not below[x + 1]:
                    yield (x + 1, y + 1), (x, y + 1)
                if not row[x]:
                    yield (x, y + 1), (x, y)


def _walk(start: Point, ends: dict[Point, list[Point]]) -> Outline:
    """Takes one way back to `start` out of `ends`."""
    corners = [start]
    here = ends[start].pop()
    before = start
    while here != start:
        following = ends[here].pop()
        if (here[0] - before[0], here[1] - before[1]) != (following[0] - here[0], following[1] - here[1]):
            corners.append(here)
        before, here = here, following
    return corners
