#!/usr/bin/env python3
"""Writes a Llama-architecture GGUF file with random weights and a real byte-level BPE tokenizer.

For benchmarks and tests that need a model of a known size but not its wits. The same arguments and the same text give the
same file. The tokenizer is trained on the sources of Python's own standard library unless --text names another file.

    python3 make_random.py nano|smollm2|tiny OUT.gguf [--type f16|q8_0|q4_0] [--seed N] [--text FILE]
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path

import numpy as np

from llama_gguf import Shape, parameter_count, train_tokenizer, write_gguf
from nano_shape import NANO

SHAPES = {
    "nano": NANO,
    # the dimensions of SmolLM2-135M
    "smollm2": Shape("random-135m", 8192, 576, 30, 9, 3, 1536, 49152, tied_embeddings=True, rope_base=100_000.0),
    # the dimensions of TinyLlama-1.1B
    "tiny": Shape("random-1.1b", 2048, 2048, 22, 32, 4, 5632, 32000, tied_embeddings=False),
}

# Enough text for 49,152 distinct merges.
TOKENIZER_TEXT_BYTES_MAX = 24_000_000


def standard_library_texts() -> list[str]:
    """The sources of this Python's standard library, in a fixed order, up to a fixed size."""
    texts: list[str] = []
    total = 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        texts.append(text)
        total += len(text)
        if total > TOKENIZER_TEXT_BYTES_MAX:
            break
    return texts


def random_weights(shape: Shape, seed: int):
    """Weights whose logits have a spread of about 3, so that the most likely token is clear of the second in most places.

    The usual 0.02 gives nearly equal logits, and then greedy text flips with the shape of a batch.
    """
    generator = np.random.default_rng(seed)

    def weight_of(name: str, dimensions: tuple[int, ...]) -> np.ndarray:
        if len(dimensions) == 1:
            return np.ones(dimensions, dtype=np.float32)
        spread = 3.0 if name in ("token_embd.weight", "output.weight") else 1.0
        weight = generator.standard_normal(dimensions, dtype=np.float32)
        weight *= spread / np.sqrt(dimensions[-1])
        return weight

    return weight_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="f16", choices=["f16", "q8_0", "q4_0"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", type=Path, help="train the tokenizer on this file")
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    texts = [arguments.text.read_text(encoding="utf-8")] if arguments.text else standard_library_texts()
    write_gguf(
        arguments.output,
        shape,
        train_tokenizer(texts, shape.vocabulary),
        random_weights(shape, arguments.seed),
        arguments.type,
        f"random weights (seed {arguments.seed}); says nothing sensible",
        "CC0-1.0",
    )
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {parameter_count(shape) / 1e6:.1f}M parameters, {arguments.type}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
