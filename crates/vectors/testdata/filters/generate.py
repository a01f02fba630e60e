"""Writes cases.json: payloads, filters, and which points Qdrant's own client finds in its in-memory mode.

    pip install qdrant-client==1.20.0 && python generate.py

The file is an independent oracle for the filter language: nothing of the engine takes part in making it.
"""

import json
import random
from pathlib import Path

from qdrant_client import QdrantClient, models

SEED = 20261121
POINTS = 90
FILTERS = 420
random.seed(SEED)

WORDS = ["red", "Green", "blue-ish", "Déjà", "vu", "quick", "fox", "42", "x_y"]
KEYWORDS = ["alpha", "beta", "gamma", "alp", "Alpha", "", "550e8400-e29b-41d4-a716-446655440000"]
TIMES = [
    "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T12:30:00.5+02:00", "2025-12-31 23:59:59",
    "2026-01-01T01:00", "no date", "2026-02-30",
]
PLACES = [(52.5, 13.4), (48.1, 11.6), (0.0, 179.5), (0.0, -179.5), (89.9, 0.0), (-33.9, 151.2), (10.0, 10.0)]
NUMBERS = [-3, -1, 0, 1, 2, 3, 10, 100, 0.5, 1.0, 2.5, -0.25]


def text():
    return " ".join(random.choice(WORDS) for _ in range(random.randint(0, 4)))


def place():
    lat, lon = random.choice(PLACES)
    return {"lat": lat, "lon": lon}


def scalar(kind):
    if random.random() < 0.06:
        return None
    if random.random() < 0.08:
        kind = random.choice("knbtpdo")
    return {
        "k": lambda: random.choice(KEYWORDS),
        "n": lambda: random.choice(NUMBERS),
        "b": lambda: random.random() < 0.5,
        "t": text,
        "p": place,
        "d": lambda: random.choice(TIMES),
        "o": lambda: {"x": random.choice(KEYWORDS), "y": random.choice(NUMBERS)},
    }[kind]()


def value(kind):
    roll = random.random()
    if roll < 0.62:
        return scalar(kind)
    if roll < 0.95:
        return [scalar(kind) for _ in range(random.randint(0, 3))]
    return [[scalar(kind)], scalar(kind)]


FIELDS = {"key": "k", "num": "n", "flag": "b", "text": "t", "geo": "p", "time": "d", "objs": "o"}


def payload():
    made = {name: value(kind) for name, kind in FIELDS.items() if random.random() < 0.8}
    if random.random() < 0.6:
        made["deep"] = {name: value(kind) for name, kind in FIELDS.items() if random.random() < 0.5}
    if random.random() < 0.4:
        made["a b"] = value("n")
    return made


PATHS = {
    "k": ["key", "key[]", "deep.key", "objs[].x", "key[0]", "objs[1].x"],
    "n": ["num", "num[]", "deep.num", "objs[].y", '"a b"', "num[1]"],
    "b": ["flag", "deep.flag"],
    "t": ["text", "deep.text", "text[]"],
    "p": ["geo", "deep.geo", "geo[]"],
    "d": ["time", "deep.time"],
}


def bounds(values):
    chosen = {}
    for name in random.sample(["lt", "lte", "gt", "gte"], random.randint(1, 2)):
        chosen[name] = random.choice(values)
    return chosen


def polygon():
    south, west = random.choice([(40, 5), (-5, 5), (50, 10)])
    ring = lambda a, b, size: [(a, b), (a, b + size), (a + size, b + size), (a + size, b), (a, b)]
    points = lambda ring: {"points": [{"lat": lat, "lon": lon} for lat, lon in ring]}
    made = {"exterior": points(ring(south, west, 20))}
    if random.random() < 0.5:
        made["interiors"] = [points(ring(south + 6.05, west + 5.05, 4))]
    return made


def field(inside=None):
    kind = random.choice("kknnbttppd")
    key = inside[kind] if inside and kind in inside else random.choice(PATHS[kind])
    if inside and kind not in inside:
        kind, key = "k", inside["k"]
    roll = random.random()
    if roll < 0.08:
        return {"key": key, "values_count": bounds([0, 1, 2])}
    if kind == "k":
        some = random.sample(KEYWORDS, random.randint(0, 3))
        match = random.choice(
            [{"value": random.choice(KEYWORDS)}, {"any": some or ["zeta"]}, {"except": some or ["zeta"]},
             {"prefix": random.choice(["al", "", "b", "Z"])}]
        )
        return {"key": key, "match": match}
    if kind == "n":
        some = [number for number in random.sample(NUMBERS, 4) if isinstance(number, int)] or [7]
        return random.choice(
            [{"key": key, "range": bounds(NUMBERS)}, {"key": key, "range": bounds(NUMBERS)},
             {"key": key, "match": {"value": random.choice([-3, 0, 1, 2, 5])}},
             {"key": key, "match": {"any": some}}, {"key": key, "match": {"except": some}}]
        )
    if kind == "b":
        return {"key": key, "match": {"value": random.random() < 0.5}}
    if kind == "t":
        name = random.choice(["text", "text_any", "phrase"])
        return {"key": key, "match": {name: text()}}
    if kind == "p":
        lat, lon = random.choice(PLACES)
        shape = random.choice(["box", "box", "radius", "polygon"])
        if shape == "box":
            east = lon + 2 if lon + 2 <= 180 else lon + 2 - 360
            box = {"top_left": {"lat": min(lat + 1, 90), "lon": lon - 0.3}, "bottom_right": {"lat": lat - 1, "lon": east}}
            return {"key": key, "geo_bounding_box": box}
        if shape == "radius":
            return {"key": key, "geo_radius": {"center": {"lat": lat, "lon": lon}, "radius": random.choice([10.0, 120000.0, 600000.0])}}
        return {"key": key, "geo_polygon": polygon()}
    return {"key": key, "range": bounds(["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T10:30:00.500000Z"])}


def condition(depth, inside=None):
    roll = random.random()
    if roll < 0.62:
        return field(inside)
    path = inside["k"] if inside else random.choice(sum(PATHS.values(), []) + ["objs", "deep", "none"])
    if roll < 0.70:
        return {"is_empty": {"key": path}}
    if roll < 0.77:
        return {"is_null": {"key": path}}
    if roll < 0.81:
        return {"has_id": random.sample(range(POINTS + 5), 6)}
    if roll < 0.84:
        return {"has_vector": random.choice(["image", "words", "none"])}
    if roll < 0.92 and depth < 2 and not inside:
        return {"nested": {"key": random.choice(["objs", "objs[]", "deep.objs"]), "filter": made_filter(depth + 1, {"k": "x", "n": "y"})}}
    if depth < 2:
        return made_filter(depth + 1, inside)
    return field(inside)


def made_filter(depth=0, inside=None):
    made = {}
    for clause in ["must", "should", "must_not"]:
        if random.random() < 0.45:
            made[clause] = [condition(depth, inside) for _ in range(random.randint(1, 2))]
    if random.random() < 0.12:
        conditions = [condition(depth, inside) for _ in range(3)]
        made["min_should"] = {"conditions": conditions, "min_count": random.randint(1, 3)}
    return made or {"must": [condition(depth, inside)]}


def main():
    client = QdrantClient(":memory:")
    size = models.VectorParams(size=2, distance=models.Distance.DOT)
    client.create_collection("cases", vectors_config={"image": size, "words": size})
    points = []
    for number in range(POINTS):
        vectors = {name: [1.0, 0.0] for name in ["image", "words"] if random.random() < 0.7}
        points.append({"id": number, "vectors": sorted(vectors), "payload": payload()})
        client.upsert("cases", [models.PointStruct(id=number, vector=vectors, payload=points[-1]["payload"])])
    cases = []
    while len(cases) < FILTERS:
        # Single conditions first, so that a failure names its subject; then filters.
        made = {"must": [field()]} if len(cases) < FILTERS // 3 else made_filter()
        found, _ = client.scroll("cases", scroll_filter=models.Filter(**made), limit=POINTS, with_payload=False)
        ids = sorted(point.id for point in found)
        if ids or random.random() < 0.3:
            cases.append({"filter": made, "ids": ids})
    lines = lambda items: ",\n".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in items)
    text = '{"points":[\n' + lines(points) + '\n],"cases":[\n' + lines(cases) + "\n]}\n"
    Path(__file__).with_name("cases.json").write_text(text)
    print(len(cases), "cases,", sum(bool(case["ids"]) for case in cases), "with points,", len(text), "bytes")


main()
