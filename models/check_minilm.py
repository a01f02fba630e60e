#!/usr/bin/env python3
"""Compares our embeddings of 200 real sentences with those of transformers and PyTorch.

    python3 check_minilm.py reference CHECKPOINT OUT.npy          needs torch and transformers (any version that knows BERT)
    python3 check_minilm.py compare REFERENCE.npy [--url URL] [--key KEY] [--model minilm]     needs numpy and a running server

The reference is computed sentence by sentence (so padding plays no part), as the model's card says: the mean of the token
states under the attention mask, scaled to length one. It is kept as testdata/minilm/reference.f32.npy; with
`--lines testdata/minilm/words.txt` the same for inputs of one word, kept as testdata/minilm/words.f32.npy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np

SENTENCES = Path(__file__).resolve().parent.parent / "testdata" / "minilm" / "sentences.txt"


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def reference(checkpoint: str, output: Path, lines: Path) -> None:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    rows = []
    with torch.no_grad():
        for sentence in read_lines(lines):
            tokens = tokenizer(sentence, return_tensors="pt")
            states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).float()
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
            rows.append(torch.nn.functional.normalize(mean, dim=1)[0].numpy())
    vectors = np.stack(rows).astype(np.float32)
    np.save(output, vectors)
    print(f"{output}: {vectors.shape[0]} x {vectors.shape[1]} by transformers {transformers.__version__}, torch {torch.__version__}")


def compare(arguments: argparse.Namespace) -> None:
    expected = np.load(arguments.reference).astype(np.float64)
    sentences = read_lines(arguments.lines)
    body = json.dumps({"model": arguments.model, "input": sentences, "encoding_format": "float"}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {arguments.key}"}
    request = urllib.request.Request(f"{arguments.url}/v1/embeddings", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=600) as reply:
        data = json.load(reply)["data"]
    ours = np.array([entry["embedding"] for entry in sorted(data, key=lambda entry: entry["index"])], dtype=np.float64)
    cosines = (ours * expected).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
    worst = int(cosines.argmin())
    print(f"cosine with the reference over {len(cosines)} sentences: min {cosines.min():.7f}, mean {cosines.mean():.7f}")
    print(f"the least: {sentences[worst]!r}")
    if cosines.min() < arguments.least:
        sys.exit(f"below {arguments.least}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("reference")
    make.add_argument("checkpoint")
    make.add_argument("output", type=Path)
    check = commands.add_parser("compare")
    check.add_argument("reference", type=Path)
    check.add_argument("--url", default=os.environ.get("FORNAX_URL", "http://127.0.0.1:8080"))
    check.add_argument("--key", default=os.environ.get("FORNAX_API_KEY", ""))
    check.add_argument("--model", default="minilm")
    check.add_argument("--least", type=float, default=0.9999, help="fail below this cosine")
    for command in (make, check):
        command.add_argument("--lines", type=Path, default=SENTENCES, help="one input per line")
    arguments = parser.parse_args()
    if arguments.command == "reference":
        reference(arguments.checkpoint, arguments.output, arguments.lines)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
