"""Random points, filters and queries, the same for everybody who is given the same seed."""

import random

import numpy as np
from qdrant_client import models

DENSE = {"image": (16, models.Distance.COSINE), "text": (8, models.Distance.DOT), "shape": (6, models.Distance.EUCLID), "grid": (5, models.Distance.MANHATTAN)}
MULTI = ("tokens", 4)
SPARSE = "words"
CITIES = ["Berlin", "London", "Moscow", "Paris", "São Paulo", "東京"]
COLOURS = ["red", "green", "blue"]
SENTENCES = ["a quick brown fox", "lazy dogs sleep", "the fox sleeps", "brown bread", "quick quick dogs"]
POINTS = 120


def vectors_config() -> dict:
    config = {name: models.VectorParams(size=size, distance=distance) for name, (size, distance) in DENSE.items()}
    comparator = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    config[MULTI[0]] = models.VectorParams(size=MULTI[1], distance=models.Distance.DOT, multivector_config=comparator)
    return config


def sparse_config() -> dict:
    return {SPARSE: models.SparseVectorParams()}


class World:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)

    def dense(self, size: int) -> list:
        # Halves of a byte: sums of products are then the same in every order of summing.
        return [float(value) for value in self.numbers.integers(-8, 9, size) / 4 + 0.125]

    def sparse(self) -> models.SparseVector:
        count = self.random.randint(1, 6)
        indices = self.random.sample(range(40), count)
        return models.SparseVector(indices=indices, values=self.dense(count))

    def vector(self, name: str):
        if name == SPARSE:
            return self.sparse()
        if name == MULTI[0]:
            return [self.dense(MULTI[1]) for _ in range(self.random.randint(1, 3))]
        return self.dense(DENSE[name][0])

    def vectors(self) -> dict:
        names = [*DENSE, MULTI[0], SPARSE]
        chosen = names if self.random.random() < 0.8 else self.random.sample(names, self.random.randint(1, len(names)))
        return {name: self.vector(name) for name in chosen}

    def id(self):
        number = self.random.randrange(POINTS)
        # Every fourth one is a UUID.
        return f"00000000-0000-4000-8000-{number:012x}" if number % 4 == 0 else number

    def ids(self) -> list:
        return [self.id() for _ in range(self.random.randint(1, 8))]

    def payload(self) -> dict:
        chance = self.random.random
        made = {}
        if chance() < 0.9:
            made["city"] = self.random.choice(CITIES)
        if chance() < 0.8:
            made["count"] = self.random.randint(-5, 20)
        if chance() < 0.7:
            made["price"] = self.random.randint(0, 400) / 8
        if chance() < 0.5:
            made["open"] = chance() < 0.5
        if chance() < 0.6:
            made["colours"] = self.random.sample(COLOURS, self.random.randint(0, 3))
        if chance() < 0.5:
            made["about"] = self.random.choice(SENTENCES)
        if chance() < 0.5:
            made["place"] = {"lat": self.random.randint(-60, 60) + 0.5, "lon": self.random.randint(-170, 170) + 0.5}
        if chance() < 0.4:
            made["rooms"] = [{"size": self.random.randint(1, 5), "name": self.random.choice(COLOURS)} for _ in range(self.random.randint(0, 3))]
        if chance() < 0.3:
            made["when"] = f"2026-{self.random.randint(1, 12):02}-{self.random.randint(1, 28):02}T{self.random.randint(0, 23):02}:00:00Z"
        if chance() < 0.2:
            made["nothing"] = None
        return made

    def point(self) -> models.PointStruct:
        return models.PointStruct(id=self.id(), vector=self.vectors(), payload=self.payload())

    def condition(self, depth: int = 0):
        pick = self.random.randrange(15 if depth < 2 else 13)
        field = models.FieldCondition
        if pick == 0:
            return field(key="city", match=models.MatchValue(value=self.random.choice(CITIES)))
        if pick == 1:
            return field(key="count", match=models.MatchValue(value=self.random.randint(-5, 20)))
        if pick == 2:
            return field(key="open", match=models.MatchValue(value=self.random.random() < 0.5))
        if pick == 3:
            return field(key="city", match=models.MatchAny(any=self.random.sample(CITIES, 2)))
        if pick == 4:
            return field(key="count", match=models.MatchExcept(**{"except": self.random.sample(range(-5, 20), 4)}))
        if pick == 5:
            low = self.random.randint(0, 30)
            return field(key="price", range=models.Range(gte=low, lt=low + self.random.randint(1, 20)))
        if pick == 6:
            return field(key="colours", values_count=models.ValuesCount(gte=self.random.randint(0, 2)))
        if pick == 7:
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=self.random.choice(["colours", "city", "nothing"])))
        if pick == 8:
            return models.IsNullCondition(is_null=models.PayloadField(key="nothing"))
        if pick == 9:
            return models.HasIdCondition(has_id=[self.id() for _ in range(30)])
        if pick == 10:
            radius = self.random.randint(500, 9000) * 1000.0
            centre = models.GeoPoint(lat=self.random.randint(-50, 50), lon=self.random.randint(-150, 150))
            return field(key="place", geo_radius=models.GeoRadius(center=centre, radius=radius))
        if pick == 11:
            return field(key="when", range=models.DatetimeRange(gte=f"2026-{self.random.randint(1, 12):02}-01T00:00:00Z"))
        if pick == 12:
            return models.HasVectorCondition(has_vector=self.random.choice([*DENSE, SPARSE]))
        if pick == 13:
            inner = models.Filter(must=[field(key="size", range=models.Range(gte=3)), field(key="name", match=models.MatchValue(value=self.random.choice(COLOURS)))])
            return models.NestedCondition(nested=models.Nested(key="rooms", filter=inner))
        return self.filter(depth + 1)

    def filter(self, depth: int = 0) -> models.Filter:
        def conditions():
            return [self.condition(depth) for _ in range(self.random.randint(1, 2))]

        made = models.Filter()
        for clause in self.random.sample(["must", "should", "must_not"], self.random.randint(1, 2)):
            setattr(made, clause, conditions())
        if self.random.random() < 0.2:
            made.min_should = models.MinShould(conditions=[self.condition(2) for _ in range(3)], min_count=self.random.randint(1, 2))
        return made

    def maybe_filter(self):
        return self.filter() if self.random.random() < 0.5 else None
