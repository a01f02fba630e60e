"""Whether two engines gave the same answer, as far as answers are determined.

Scores must agree; points of one score may come in any order, and at the end of a list any of them may be cut off.
"""

import numpy
from qdrant_client import models

TOLERANCE = 2e-4


def close(one: float, two: float) -> bool:
    return abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two))


def plain(value):
    """Payloads and vectors as plain values."""
    if isinstance(value, models.SparseVector):
        order = sorted(range(len(value.indices)), key=lambda place: value.indices[place])
        return {"sparse": [(value.indices[place], float(value.values[place])) for place in order]}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, numpy.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def same(one, two) -> bool:
    """Equal, numbers within tolerance."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return close(one, two)
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        return len(one) == len(two) and all(same(left, right) for left, right in zip(one, two))
    return one == two


def check_points(ours, theirs, limit=None, before=None):
    """Scored points of two engines, best first.

    With a limit that was reached, ties at the end may differ. `before` is the score of the last point that an offset left
    out: ties with it may differ too.
    """
    left = [point.score for point in ours]
    right = [point.score for point in theirs]
    assert len(left) == len(right), (left, right)
    assert all(close(one, two) for one, two in zip(left, right)), (show(ours), show(theirs))
    start = 0
    while start < len(right):
        end = start + 1
        while end < len(right) and close(right[end - 1], right[end]):
            end += 1
        cut = limit is not None and end == len(right) and len(right) >= limit
        cut = cut or (before is not None and start == 0 and close(before, right[0]))
        if not cut or end - start == 1:
            one = {str(point.id) for point in ours[start:end]}
            two = {str(point.id) for point in theirs[start:end]}
            # A point whose score is within tolerance of the next group's may stand there.
            if one != two and not cut:
                assert close(right[start], right[end - 1]) and len(one ^ two) <= 2 and end - start > 1, (show(ours), show(theirs))
        start = end
    known = {str(point.id): point for point in theirs}
    for point in ours:
        if str(point.id) in known:
            check_parts(point, known[str(point.id)])


def check_parts(one, two):
    """Payload and vectors of one point."""
    assert same(plain(one.payload), plain(two.payload)), (one.payload, two.payload)
    # Neither engine tells "has none" from "none wanted" in the same way.
    left, right = plain(one.vector) or None, plain(two.vector) or None
    assert same(left, right), (left, right)


def check_records(ours, theirs, ordered=True):
    """Stored points of two engines."""
    key = lambda record: str(record.id)
    if not ordered:
        ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    assert [key(record) for record in ours] == [key(record) for record in theirs]
    for one, two in zip(ours, theirs):
        check_parts(one, two)


def show(points):
    return [(point.id, round(point.score, 6)) for point in points]
