#!/usr/bin/env python3
"""Writes a tiny BERT-architecture reranker (a cross-encoder with the pooling `rank`) with random weights, for tests.

Its scores say nothing about relevance, but they are scores: they depend on the query and the document together, and the
same file always gives the same ones.

    python3 make_reranker.py OUT.gguf [--seed N]
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 256
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the a of and to in is it that for on with as was are be this by not or data disk power model write read music star".split()


def vocabulary() -> list[str]:
    """Words and single letters as llama.cpp keeps WordPiece: what begins a word has a mark in front, what goes on has none."""
    letters = string.ascii_lowercase + string.digits
    begins = [f"\u2581{word}" for word in dict.fromkeys([*WORDS, *letters, *string.punctuation])]
    return SPECIAL + begins + list(letters)


def tensors(tokens: int) -> dict[str, tuple[int, ...]]:
    """Every tensor with its (outputs, inputs)."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (tokens, WIDTH),
        "token_types.weight": (2, WIDTH),
        "position_embd.weight": (CONTEXT, WIDTH),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes |= {f"{prefix}{name}.weight": (WIDTH, WIDTH), f"{prefix}{name}.bias": (WIDTH,)}
        shapes |= {f"{prefix}ffn_up.weight": (FEED_FORWARD, WIDTH), f"{prefix}ffn_up.bias": (FEED_FORWARD,)}
        shapes |= {f"{prefix}ffn_down.weight": (WIDTH, FEED_FORWARD), f"{prefix}ffn_down.bias": (WIDTH,)}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"{prefix}{name}.weight": (WIDTH,), f"{prefix}{name}.bias": (WIDTH,)}
    shapes |= {"cls.weight": (WIDTH, WIDTH), "cls.bias": (WIDTH,), "cls.output.weight": (1, WIDTH), "cls.output.bias": (1,)}
    return shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tokens = vocabulary()
    writer = gguf.GGUFWriter(arguments.output, "bert")
    writer.add_name("random-reranker")
    writer.add_description(f"random weights (seed {arguments.seed}); its scores mean nothing")
    writer.add_license("CC0-1.0")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens])
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    generator = np.random.default_rng(arguments.seed)
    for name, shape in tensors(len(tokens)).items():
        if name.endswith("norm.weight"):
            weight = np.ones(shape)
        elif name.endswith(".bias"):
            weight = np.zeros(shape)
        else:
            weight = generator.standard_normal(shape) * 2.0 / np.sqrt(shape[-1])
        writer.add_tensor(name, weight.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
