"""What Fornax is compared with: exact search over embeddings computed here, rank-bm25, and the fusion of their ranks."""
import json
import pathlib
import re

import numpy
import rank_bm25
import snowballstemmer
import tokenizers

# What sentence-transformers' all-MiniLM-L6-v2 reads of a text.
TOKENS_MAX = 256
# The constant of the paper on reciprocal rank fusion, and how much of each list is fused.
FUSION_CONSTANT, FUSION_DEPTH = 60, 50


def tensors(path):
    """Reads a safetensors file of 32-bit floats: eight bytes of length, a JSON header, the values."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    return {name: numpy.frombuffer(data[8 + length + fact["data_offsets"][0]:8 + length + fact["data_offsets"][1]],
                                   dtype={"F32": "<f4", "I64": "<i8"}[fact["dtype"]]).reshape(fact["shape"])
            for name, fact in header.items() if name != "__metadata__"}


def normal(rows, weight, bias):
    mean = rows.mean(-1, keepdims=True)
    return (rows - mean) / numpy.sqrt(((rows - mean) ** 2).mean(-1, keepdims=True) + 1e-12) * weight + bias


def gelu(values):
    # The error function by Abramowitz and Stegun 7.1.26, exact to 1.5e-7.
    x = values / numpy.sqrt(2)
    t = 1 / (1 + 0.3275911 * numpy.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * values * (1 + numpy.sign(x) * (1 - poly * numpy.exp(-x * x)))


class MiniLM:
    """The encoder as its paper has it, in numpy, one text at a time: no padding, no library, nothing shared with ours."""

    def __init__(self, directory):
        self.weights = tensors(pathlib.Path(directory) / "model.safetensors")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(pathlib.Path(directory) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS_MAX)
        config = json.loads((pathlib.Path(directory) / "config.json").read_text())
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]

    def linear(self, rows, name):
        return rows @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, rows, name):
        return normal(rows, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def embed(self, text):
        ids = self.tokenizer.encode(text).ids
        rows = (self.weights["embeddings.word_embeddings.weight"][ids] + self.weights["embeddings.position_embeddings.weight"][:len(ids)]
                + self.weights["embeddings.token_type_embeddings.weight"][0])
        rows = self.norm(rows, "embeddings.LayerNorm")
        for layer in range(self.layers):
            at = f"encoder.layer.{layer}."
            split = lambda name: self.linear(rows, at + "attention.self." + name).reshape(len(ids), self.heads, -1).transpose(1, 0, 2)
            query, key, value = split("query"), split("key"), split("value")
            scores = query @ key.transpose(0, 2, 1) / numpy.sqrt(query.shape[-1])
            scores = numpy.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True)) @ value
            mixed = self.linear(mixed.transpose(1, 0, 2).reshape(len(ids), -1), at + "attention.output.dense")
            rows = self.norm(rows + mixed, at + "attention.output.LayerNorm")
            inner = gelu(self.linear(rows, at + "intermediate.dense"))
            rows = self.norm(rows + self.linear(inner, at + "output.dense"), at + "output.LayerNorm")
        mean = rows.mean(0)
        return mean / numpy.linalg.norm(mean)


STEMMER = snowballstemmer.stemmer("english")
# The list of the Snowball project's English stop words, its most frequent part; rank-bm25 brings none.
STOP = set("a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was will with".split())


def words(text):
    return STEMMER.stemWords([word for word in re.findall(r"\w+", text.lower()) if word not in STOP])


def best(scores, ids, count):
    order = numpy.argsort(-scores, kind="stable")[:count]
    return [ids[index] for index in order if scores[index] > -numpy.inf]


def fused(lists, count):
    scores = {}
    for found in lists:
        for rank, identity in enumerate(found[:FUSION_DEPTH], start=1):
            scores[identity] = scores.get(identity, 0) + 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda identity: (-scores[identity], identity))[:count]


def search(directory, documents, queries, count):
    """The best documents for every query: by meaning, by words as rank-bm25 is usually fed, by stemmed words, and fused."""
    model, ids = MiniLM(directory), list(documents)
    vectors = numpy.stack([model.embed(documents[identity]) for identity in ids])
    plain = rank_bm25.BM25Okapi([documents[identity].lower().split() for identity in ids])
    stemmed = rank_bm25.BM25Okapi([words(documents[identity]) for identity in ids])
    results = {"dense": {}, "words, split at spaces": {}, "words": {}, "hybrid": {}}
    for query in queries:
        dense = best(vectors @ model.embed(query), ids, FUSION_DEPTH)
        lexical = best(stemmed.get_scores(words(query)), ids, FUSION_DEPTH)
        results["dense"][query] = dense[:count]
        results["words, split at spaces"][query] = best(plain.get_scores(query.lower().split()), ids, count)
        results["words"][query] = lexical[:count]
        results["hybrid"][query] = fused([dense, lexical], count)
    return results
