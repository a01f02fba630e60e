#!/usr/bin/env python3
"""Trains fornax-nano, the toy model that Fornax carries, and writes it as GGUF.

    python3 train_nano.py TEXT OUT.gguf [--steps N] [--seed N] [--threads N] [--type q8_0]

TEXT is a play script in the form "SPEAKER:\\nlines\\n\\n" (Tiny Shakespeare). Half of what the model sees is that text as it
is; in the other half consecutive speeches become the turns of a chat, so that `<|im_end|>` really ends what it says.
The last twentieth of the text is held out, and its loss is what the card reports. The same arguments and package versions
give the same batches; weights can differ in the last digits between processors.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from functools import partial
from pathlib import Path

import numpy as np

from llama_gguf import END_OF_TEXT, TURN_END, TURN_START, parameter_count, tensor_shapes, train_tokenizer, write_gguf
from nano_shape import NANO

# The context grows in the last part: short windows teach words and turns cheaply, long ones teach far positions.
SHORT_WINDOW, SHORT_BATCH = 256, 8
LONG_WINDOW, LONG_BATCH = NANO.context_tokens, 2
LONG_SHARE = 0.08
PEAK_RATE = 3e-3
WARMUP_STEPS = 30
VALIDATION_SHARE = 0.05
# Longer speeches are left out of chats, so that answers stay short.
CHAT_SPEECH_CHARACTERS_MAX = 600
SYSTEM_TURNS = ["You are a helpful assistant.", "Speak as in a play.", "Answer briefly."]


class Corpus:
    """Token windows from one stretch of the play, as plain text or as chats."""

    def __init__(self, text: str, tokenizer, seed: int):
        self.generator = np.random.default_rng(seed)
        self.end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        self.plain = np.array(tokenizer.encode(text).ids + [self.end_of_text], dtype=np.int32)
        self.plain_bytes_per_token = len(text.encode()) / (len(self.plain) - 1)
        self.speeches = []
        for block in text.split("\n\n"):
            match = re.match(r"[^\n:]{1,40}:\n(.+)", block.strip(), re.DOTALL)
            body = match.group(1).strip() if match else ""
            self.speeches.append(tokenizer.encode(body).ids if 0 < len(body) <= CHAT_SPEECH_CHARACTERS_MAX else None)
        encode = lambda piece: tokenizer.encode(piece).ids
        self.open_turn = {role: encode(f"{TURN_START}{role}\n") for role in ("system", "user", "assistant")}
        self.close_turn = encode(f"{TURN_END}\n")
        self.systems = [encode(turn) for turn in SYSTEM_TURNS]

    def plain_window(self, length: int) -> np.ndarray:
        start = self.generator.integers(0, len(self.plain) - length)
        return self.plain[start : start + length]

    def chat(self) -> list[int]:
        """One chat of two to eight consecutive speeches, user first, assistant last."""
        ids: list[int] = []
        if self.generator.random() < 0.2:
            system = self.systems[self.generator.integers(len(self.systems))]
            ids += self.open_turn["system"] + system + self.close_turn
        position = int(self.generator.integers(len(self.speeches)))
        for turn in range(2 * int(self.generator.integers(1, 5))):
            while self.speeches[position % len(self.speeches)] is None:
                position += 1
            speech = self.speeches[position % len(self.speeches)]
            ids += self.open_turn["assistant" if turn % 2 else "user"] + speech + self.close_turn
            position += 1
        return ids + [self.end_of_text]

    def chat_window(self, length: int) -> np.ndarray:
        """Chats one after another; the first begins where the window does, as a request's prompt does."""
        ids: list[int] = []
        while len(ids) < length:
            ids += self.chat()
        return np.array(ids[:length], dtype=np.int32)

    def batch(self, rows: int, length: int) -> np.ndarray:
        windows = []
        for _ in range(rows):
            chat = self.generator.random() < 0.5
            windows.append(self.chat_window(length) if chat else self.plain_window(length))
        return np.stack(windows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--type", default="q8_0", choices=["f16", "q8_0"])
    return parser.parse_args()


def limit_threads(threads: int) -> None:
    """Pins the process to `threads` processors; XLA sizes its pool by that. Must run before JAX is imported."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-threads:])


def initial_weights(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, dimensions in tensor_shapes(NANO).items():
        if len(dimensions) == 1:
            weights[name] = np.ones(dimensions, dtype=np.float32)
            continue
        spread = 0.02 if name == "token_embd.weight" else 1.0 / np.sqrt(dimensions[-1])
        # What writes into the residual stream starts smaller, so that depth does not add up.
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            spread /= np.sqrt(2 * NANO.layers)
        weights[name] = generator.standard_normal(dimensions, dtype=np.float32) * np.float32(spread)
    return weights


def build_model(jax, jnp):
    """The forward pass and the loss, in ggml's conventions for the `llama` architecture."""
    shape = NANO

    def normalise(values, gain):
        return values * jax.lax.rsqrt(jnp.mean(values * values, axis=-1, keepdims=True) + shape.norm_epsilon) * gain

    def rotate(values):
        # values: rows, positions, heads, head width. Pairs are neighbours: (0, 1), (2, 3), ...
        frequencies = shape.rope_base ** (-jnp.arange(0, shape.head_width, 2) / shape.head_width)
        angles = jnp.arange(values.shape[1])[:, None] * frequencies
        cosine, sine = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
        even, odd = values[..., 0::2], values[..., 1::2]
        return jnp.stack([even * cosine - odd * sine, even * sine + odd * cosine], axis=-1).reshape(values.shape)

    def layer(hidden, weights):
        rows, positions, _ = hidden.shape
        inputs = normalise(hidden, weights["attn_norm"])
        split = lambda values, heads: values.reshape(rows, positions, heads, shape.head_width)
        query = rotate(split(inputs @ weights["attn_q"].T, shape.heads))
        key = rotate(split(inputs @ weights["attn_k"].T, shape.kv_heads))
        value = split(inputs @ weights["attn_v"].T, shape.kv_heads)
        mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + mixed.reshape(rows, positions, shape.width) @ weights["attn_output"].T
        inputs = normalise(hidden, weights["ffn_norm"])
        gate = jax.nn.silu(inputs @ weights["ffn_gate"].T) * (inputs @ weights["ffn_up"].T)
        return hidden + gate @ weights["ffn_down"].T

    def loss(weights, tokens):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        hidden = weights["token_embd.weight"][inputs]
        for index in range(shape.layers):
            prefix = f"blk.{index}."
            own = {name[len(prefix) : -len(".weight")]: value for name, value in weights.items() if name.startswith(prefix)}
            hidden = layer(hidden, own)
        logits = normalise(hidden, weights["output_norm.weight"]) @ weights["token_embd.weight"].T
        picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked)

    return loss


def validation_windows(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Every held-out token once as plain text, and sixteen windows of held-out chats."""
    length = SHORT_WINDOW + 1
    count = (len(corpus.plain) - 1) // SHORT_WINDOW
    plain = np.stack([corpus.plain[index * SHORT_WINDOW : index * SHORT_WINDOW + length] for index in range(count)])
    return plain, np.stack([corpus.chat_window(length) for _ in range(16)])


def optimizer(optax, steps: int):
    """Muon for the matrices (it needs far fewer steps than Adam at this size), Adam for the embedding and the vectors."""
    rate = optax.warmup_cosine_decay_schedule(0.0, PEAK_RATE, WARMUP_STEPS, steps, PEAK_RATE * 0.01)
    matrices = lambda weights: {name: "muon" if name.startswith("blk.") and value.ndim == 2 else "adam" for name, value in weights.items()}
    muon = optax.contrib.muon(lambda step: 5.0 * rate(step), weight_decay=0.01, consistent_rms=0.2)
    adam = optax.adamw(rate, b1=0.9, b2=0.95, weight_decay=0.01)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.multi_transform({"muon": muon, "adam": adam}, matrices))


def main() -> None:
    arguments = parse_arguments()
    limit_threads(arguments.threads)
    import jax
    import jax.numpy as jnp
    import optax

    text = arguments.text.read_text(encoding="utf-8")
    border = text.rindex("\n\n", 0, int(len(text) * (1 - VALIDATION_SHARE))) + 2
    tokenizer = train_tokenizer([text[:border]], NANO.vocabulary)
    training = Corpus(text[:border], tokenizer, arguments.seed)
    validation = Corpus(text[border:], tokenizer, arguments.seed)
    plain_windows, chat_windows = validation_windows(validation)
    loss = build_model(jax, jnp)
    weights = {name: jnp.asarray(value) for name, value in initial_weights(arguments.seed).items()}
    update_rule = optimizer(optax, arguments.steps)
    state = update_rule.init(weights)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(weights, state, tokens):
        value, gradient = jax.value_and_grad(loss)(weights, tokens)
        update, state = update_rule.update(gradient, state, weights)
        return optax.apply_updates(weights, update), state, value

    measure = jax.jit(loss)

    def validate(weights) -> tuple[float, float]:
        mean = lambda windows: float(np.mean([measure(weights, windows[index : index + 8]) for index in range(0, len(windows) - 7, 8)]))
        return mean(plain_windows), mean(chat_windows)

    def save(weights) -> None:
        write_gguf(
            arguments.output,
            NANO,
            tokenizer,
            lambda name, _: np.asarray(weights[name]),
            arguments.type,
            "A toy trained on Tiny Shakespeare, for demonstrations and tests; it knows nothing and cannot follow instructions.",
            "MIT OR Apache-2.0",
        )

    print(f"{parameter_count(NANO):,} parameters, {len(training.plain):,} training tokens, {training.plain_bytes_per_token:.2f} bytes each", flush=True)
    started = time.monotonic()
    recent: list[float] = []
    for index in range(arguments.steps):
        long = index >= arguments.steps * (1 - LONG_SHARE)
        rows, length = (LONG_BATCH, LONG_WINDOW) if long else (SHORT_BATCH, SHORT_WINDOW)
        weights, state, value = step(weights, state, training.batch(rows, length + 1))
        recent.append(float(value))
        if (index + 1) % 60 == 0 or index + 1 == arguments.steps:
            plain, chat = validate(weights)
            seconds = time.monotonic() - started
            print(f"step {index + 1} train {np.mean(recent):.3f} validation plain {plain:.3f} chat {chat:.3f} after {seconds:.0f} s", flush=True)
            recent.clear()
            # An interrupted run leaves its last measured state.
            save(weights)
    bits = plain / np.log(2) / validation.plain_bytes_per_token
    print(f"held-out plain text: {bits:.3f} bits per byte", flush=True)


if __name__ == "__main__":
    main()
