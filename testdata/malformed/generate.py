#!/usr/bin/env python3
"""Writes the corpus of damaged model files, and `expected.tsv`: file, kind of error, field that the error must name.
Beside it, in `../wellformed`, good files with everything in them: seeds for fuzzing, and a check that rigour refuses
only what is wrong.

Each file is a good little model with one thing wrong. The good model and every damage are written from the
descriptions of the formats, not with the product's code. Run it after adding a case; the files are checked in.
"""

import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
ROWS = []

u32 = lambda value: struct.pack("<I", value)
u64 = lambda value: struct.pack("<Q", value)
MANY = 2**64 - 1


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return u64(len(data)) + data


def string(key, value):
    return text(key) + u32(8) + text(value)


def number(key, value):
    return text(key) + u32(4) + u32(value)


def strings(key, values):
    return text(key) + u32(9) + u32(8) + u64(len(values)) + b"".join(map(text, values))


def tensor(name="w", dimensions=(32, 2), kind=0, offset=0, count=None):
    shape = b"".join(map(u64, dimensions))
    return text(name) + u32(len(dimensions) if count is None else count) + shape + u32(kind) + u64(offset)


ARCHITECTURE = string("general.architecture", "llama")
GOOD = [ARCHITECTURE, number("llama.context_length", 128)]


def gguf(entries=GOOD, tensors=None, data=256, magic=b"GGUF", version=3, tensor_count=None, kv_count=None, align=32):
    tensors = [tensor()] if tensors is None else tensors
    out = magic + u32(version)
    out += u64(len(tensors) if tensor_count is None else tensor_count)
    out += u64(len(entries) if kv_count is None else kv_count)
    out += b"".join(entries) + b"".join(tensors)
    if tensors:
        out += b"\0" * (-len(out) % align)
    return out + b"\7" * data


def case(directory, name, data, kind, field):
    folder = HERE / directory
    folder.mkdir(exist_ok=True)
    ending = {"gguf": "gguf", "safetensors": "safetensors"}[directory]
    (folder / f"{name}.{ending}").write_bytes(data)
    ROWS.append((f"{directory}/{name}.{ending}", kind, field))


def key(name, part=""):
    return f'metadata["{name}"]{part}'


def own(name, part):
    return f'tensor "{name}".{part}'


def with_entry(*entries):
    return gguf([*GOOD, *entries])


def with_tensors(*tensors, data=256, **rest):
    return gguf(tensors=list(tensors), data=data, **rest)


def write_gguf():
    add = lambda name, data, kind, field: case("gguf", name, data, kind, field)
    good = gguf()
    # The preamble.
    add("empty", b"", "truncated", "magic")
    add("two-bytes", b"GG", "truncated", "magic")
    add("magic-wrong", gguf(magic=b"GGUX"), "format", "magic")
    add("magic-of-old-ggml", gguf(magic=b"tjgg"), "format", "magic")
    add("web-page", b"<!DOCTYPE html><html></html>", "format", "magic")
    add("lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "format", "magic")
    add("zip-archive", b"PK\3\4" + b"\0" * 40, "format", "magic")
    add("version-cut", good[:6], "truncated", "version")
    add("version-0", gguf(version=0), "invalid", "version")
    add("version-1", gguf(version=1), "unsupported", "version")
    add("version-4", gguf(version=4), "unsupported", "version")
    add("big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "unsupported", "version")
    add("tensor-count-cut", good[:12], "truncated", "tensor_count")
    add("tensor-count-huge", gguf(tensor_count=MANY), "limit", "tensor_count")
    add("tensor-count-beyond-file", gguf(tensor_count=100_000), "truncated", "tensor_count")
    add("kv-count-huge", gguf(kv_count=MANY), "limit", "kv_count")
    add("kv-count-beyond-file", gguf(kv_count=5_000), "truncated", "kv_count")
    # Keys and values.
    add("first-value-cut", gguf([ARCHITECTURE], [], 0, kv_count=1)[:-2], "truncated", key("general.architecture"))
    add("key-length-beyond-file", gguf([u64(2**40) + b"x" * 40]), "truncated", "metadata[#0].key")
    add("key-too-long", gguf([string("k" * 2000, "v"), ARCHITECTURE]), "limit", "metadata[#0].key")
    add("key-empty", gguf([string("", "v"), ARCHITECTURE]), "invalid", "metadata[#0].key")
    add("key-not-utf8", gguf([string(b"\xff\xfe", "v"), ARCHITECTURE]), "invalid", "metadata[#0].key")
    add("key-with-control-character", gguf([string("a\nb", "v"), ARCHITECTURE]), "invalid", "metadata[#0].key")
    add("key-twice", with_entry(number("llama.context_length", 64)), "duplicate", key("llama.context_length"))
    add("value-type-unknown", with_entry(text("x") + u32(13) + u32(0)), "invalid", key("x", ".type"))
    add("value-cut", gguf([ARCHITECTURE, text("x") + u32(12) + b"\0" * 3], [], 0), "truncated", key("x"))
    add("text-beyond-file", with_entry(text("x") + u32(8) + u64(MANY)), "truncated", key("x"))
    add("text-not-utf8", with_entry(string("x", b"\xc3\x28")), "invalid", key("x"))
    add("truth-value-2", with_entry(text("x") + u32(7) + b"\2"), "invalid", key("x"))
    add("array-of-unknown-type", with_entry(text("x") + u32(9) + u32(99) + u64(0)), "invalid", key("x", ".element_type"))
    add("array-of-arrays", with_entry(text("x") + u32(9) + u32(9) + u64(1)), "unsupported", key("x", ".element_type"))
    add("array-length-overflows", with_entry(text("x") + u32(9) + u32(10) + u64(MANY)), "truncated", key("x", ".length"))
    add("array-length-beyond-file", with_entry(text("x") + u32(9) + u32(4) + u64(10**6)), "truncated", key("x", ".length"))
    add("array-text-beyond-file", with_entry(text("x") + u32(9) + u32(8) + u64(2) + text("a") + u64(2**50)), "truncated", key("x", "[1]"))
    add("array-text-not-utf8", with_entry(strings("x", ["a", "b", b"\xff"])), "invalid", key("x", "[2]"))
    # What the metadata says.
    add("architecture-absent", gguf([number("llama.context_length", 128)]), "missing", key("general.architecture"))
    add("architecture-is-a-number", gguf([number("general.architecture", 1)]), "invalid", key("general.architecture"))
    add("architecture-with-slash", gguf([string("general.architecture", "../llama")]), "invalid", key("general.architecture"))
    add("alignment-not-a-power-of-two", with_entry(number("general.alignment", 48)), "invalid", key("general.alignment"))
    add("alignment-zero", with_entry(number("general.alignment", 0)), "invalid", key("general.alignment"))
    add("alignment-huge", with_entry(number("general.alignment", 2**31)), "invalid", key("general.alignment"))
    add("alignment-is-a-text", with_entry(string("general.alignment", "32")), "invalid", key("general.alignment"))
    add("context-length-zero", gguf([ARCHITECTURE, number("llama.context_length", 0)]), "invalid", key("llama.context_length"))
    add("context-length-huge", gguf([ARCHITECTURE, number("llama.context_length", 2**32 - 1)]), "limit", key("llama.context_length"))
    add("context-length-is-a-text", gguf([ARCHITECTURE, string("llama.context_length", "128")]), "invalid", key("llama.context_length"))
    add("block-count-huge", with_entry(number("llama.block_count", 10**6)), "limit", key("llama.block_count"))
    add("head-count-huge", with_entry(number("llama.attention.head_count", 2**20)), "limit", key("llama.attention.head_count"))
    add("split-model", with_entry(number("split.count", 4)), "unsupported", key("split.count"))
    add("pooling-unknown", with_entry(number("llama.pooling_type", 9)), "unsupported", key("llama.pooling_type"))
    add("tokens-empty", with_entry(strings("tokenizer.ggml.tokens", [])), "invalid", key("tokenizer.ggml.tokens"))
    add("tokens-are-numbers", with_entry(text("tokenizer.ggml.tokens") + u32(9) + u32(4) + u64(1) + u32(1)), "invalid", key("tokenizer.ggml.tokens"))
    tokens = strings("tokenizer.ggml.tokens", ["a", "b"])
    add("eos-beyond-vocabulary", with_entry(tokens, number("tokenizer.ggml.eos_token_id", 2)), "invalid", key("tokenizer.ggml.eos_token_id"))
    many = strings("tokenizer.ggml.tokens", [b"\xff"] * 300)
    add("bos-not-utf8", with_entry(many, number("tokenizer.ggml.bos_token_id", 7)), "invalid", key("tokenizer.ggml.tokens", "[7]"))
    add("template-is-a-number", with_entry(number("tokenizer.chat_template", 1)), "invalid", key("tokenizer.chat_template"))
    # Tensors.
    add("tensor-name-too-long", with_tensors(tensor("n" * 64)), "limit", "tensor[#0].name")
    add("tensor-name-empty", with_tensors(tensor("")), "invalid", "tensor[#0].name")
    add("tensor-twice", with_tensors(tensor(), tensor(offset=256), data=512), "duplicate", own("w", "name"))
    add("dimensions-none", with_tensors(tensor(dimensions=())), "invalid", own("w", "dimensions"))
    add("dimensions-five", with_tensors(tensor(dimensions=(32, 1, 1, 1, 1))), "invalid", own("w", "dimensions"))
    add("dimensions-count-huge", with_tensors(tensor(count=2**32 - 1)), "invalid", own("w", "dimensions"))
    add("dimension-zero", with_tensors(tensor(dimensions=(32, 0))), "invalid", own("w", "dimensions[1]"))
    add("dimensions-overflow", with_tensors(tensor(dimensions=(2**32, 2**32))), "invalid", own("w", "dimensions[1]"))
    add("dimension-negative", with_tensors(tensor(dimensions=(MANY,))), "invalid", own("w", "dimensions[0]"))
    add("tensor-type-unknown", with_tensors(tensor(kind=77)), "unsupported", own("w", "type"))
    add("tensor-type-removed", with_tensors(tensor(kind=4)), "unsupported", own("w", "type"))
    add("row-no-whole-block", with_tensors(tensor(dimensions=(33, 2), kind=8)), "invalid", own("w", "dimensions[0]"))
    add("size-overflows", with_tensors(tensor(dimensions=(2**62,), kind=28)), "invalid", own("w", "dimensions"))
    add("offset-unaligned", with_tensors(tensor(offset=8)), "invalid", own("w", "offset"))
    add("offset-leaves-gap", with_tensors(tensor(offset=64), data=512), "invalid", own("w", "offset"))
    add("offset-overlaps", with_tensors(tensor(), tensor("v", offset=128), data=512), "invalid", own("v", "offset"))
    add("offset-huge", with_tensors(tensor(offset=2**64 - 32)), "invalid", own("w", "offset"))
    add("data-cut", with_tensors(tensor(), data=255), "truncated", own("w", "data"))
    add("data-absent", with_tensors(tensor(), data=0), "truncated", own("w", "data"))
    add("tensor-cut", gguf(tensors=[tensor(dimensions=(1,)), text("v") + u32(1) + u64(1)], data=0, align=1), "truncated", own("v", "type"))


def safetensors(header, data=b"", length=None):
    body = header if isinstance(header, bytes) else header.encode()
    return u64(len(body) if length is None else length) + body + data


def one(dtype='"F32"', shape="[2]", offsets="[0,8]", name="w", extra=""):
    return f'"{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{extra}}}'


def write_safetensors():
    add = lambda name, data, kind, field: case("safetensors", name, data, kind, field)
    file = lambda *members, data=b"\0" * 8: safetensors("{" + ",".join(members) + "}", data)
    good = file(one())
    add("empty", b"", "truncated", "header_length")
    add("seven-bytes", good[:7], "truncated", "header_length")
    add("header-length-huge", safetensors("{}", length=MANY), "limit", "header_length")
    add("header-length-beyond-file", safetensors("{}", length=1000), "truncated", "header_length")
    add("header-length-zero", safetensors(""), "invalid", "header_length")
    add("is-gguf", gguf(), "format", "header_length")
    add("header-is-an-array", safetensors("[]"), "format", "header")
    add("header-begins-with-space", safetensors(" {}"), "format", "header")
    add("json-unfinished", safetensors('{"w"'), "invalid", "header")
    add("json-text-unfinished", safetensors('{"w'), "invalid", "header")
    add("json-trailing-text", safetensors("{" + one() + "}x", b"\0" * 8), "invalid", "header")
    add("json-trailing-comma", safetensors("{" + one() + ",}", b"\0" * 8), "invalid", "header")
    add("json-deep", safetensors('{"w":' + "[" * 5000 + "}"), "invalid", 'tensor "w"')
    add("name-not-utf8", safetensors(b'{"\xff":{}}'), "invalid", "header")
    add("name-half-surrogate", safetensors('{"\\ud800":{}}'), "invalid", "header")
    add("name-with-control-character", safetensors(b'{"a\x01":{}}'), "invalid", "header")
    add("name-empty", file(one(name="")), "invalid", 'tensor ""')
    add("name-too-long", file(one(name="n" * 2000)), "limit", "header")
    add("tensor-twice", file(one(), one()), "duplicate", 'tensor "w"')
    add("tensor-is-a-number", safetensors('{"w":1}'), "invalid", 'tensor "w"')
    add("tensor-is-empty", safetensors('{"w":{}}'), "invalid", 'tensor "w"')
    add("member-unknown", file(one(extra=',"stride":[1]')), "invalid", own("w", "stride"))
    add("member-twice", file(one(extra=',"dtype":"F32"')), "duplicate", own("w", "dtype"))
    add("dtype-absent", file('"w":{"shape":[2],"data_offsets":[0,8]}'), "missing", own("w", "dtype"))
    add("shape-absent", file('"w":{"dtype":"F32","data_offsets":[0,8]}'), "missing", own("w", "shape"))
    add("offsets-absent", file('"w":{"dtype":"F32","shape":[2]}'), "missing", own("w", "data_offsets"))
    add("dtype-unknown", file(one(dtype='"F7"')), "unsupported", own("w", "dtype"))
    add("dtype-is-a-number", file(one(dtype="32")), "invalid", own("w", "dtype"))
    add("shape-negative", file(one(shape="[-2]")), "invalid", own("w", "shape[0]"))
    add("shape-fraction", file(one(shape="[2.5]")), "invalid", own("w", "shape[0]"))
    add("shape-number-too-large", file(one(shape="[1,18446744073709551616]")), "invalid", own("w", "shape[1]"))
    add("shape-overflows", file(one(shape="[4294967296,4294967296]")), "invalid", own("w", "shape"))
    add("shape-nine-dimensions", file(one(shape="[1,1,1,1,1,1,1,1,2]")), "limit", own("w", "shape"))
    add("offsets-one-number", file(one(offsets="[0]")), "invalid", own("w", "data_offsets"))
    add("offsets-three-numbers", file(one(offsets="[0,8,8]")), "limit", own("w", "data_offsets"))
    add("offsets-backwards", file(one(offsets="[8,0]")), "invalid", own("w", "data_offsets"))
    add("offsets-not-the-size", file(one(offsets="[0,4]")), "invalid", own("w", "data_offsets"))
    add("offsets-beyond-file", file(one(offsets="[8,16]")), "truncated", own("w", "data_offsets"))
    add("tensors-overlap", file(one(), one(name="v", offsets="[4,12]"), data=b"\0" * 12), "invalid", own("v", "data_offsets"))
    add("tensors-leave-gap", file(one(), one(name="v", offsets="[12,20]"), data=b"\0" * 20), "invalid", own("v", "data_offsets"))
    add("data-beyond-tensors", file(one(), data=b"\0" * 9), "invalid", "data")
    add("data-cut", good[:-1], "truncated", own("w", "data_offsets"))
    add("metadata-twice", file('"__metadata__":{}', '"__metadata__":{}', one()), "duplicate", "__metadata__")
    add("metadata-key-twice", file('"__metadata__":{"a":"1","a":"2"}', one()), "duplicate", '__metadata__["a"]')
    add("metadata-value-is-a-number", file('"__metadata__":{"a":1}', one()), "invalid", '__metadata__["a"]')
    add("metadata-is-a-text", file('"__metadata__":"a"', one()), "invalid", "__metadata__")
    json.loads("{" + one() + "}")


def write_wellformed():
    folder = HERE.parent / "wellformed"
    for part in ("gguf", "safetensors"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rich = [
        *GOOD,
        string("general.name", "Rich"),
        strings("general.languages", ["en", "fr"]),
        number("general.file_type", 7),
        number("general.alignment", 64),
        number("llama.block_count", 2),
        number("llama.embedding_length", 64),
        number("llama.attention.head_count", 4),
        text("llama.attention.head_count_kv") + u32(9) + u32(5) + u64(2) + u32(2) + u32(1),
        number("llama.pooling_type", 0),
        string("tokenizer.ggml.model", "gpt2"),
        strings("tokenizer.ggml.tokens", [f"t{index}" for index in range(300)]),
        text("tokenizer.ggml.scores") + u32(9) + u32(6) + u64(300) + b"\0" * 1200,
        number("tokenizer.ggml.bos_token_id", 298),
        number("tokenizer.ggml.eos_token_id", 299),
        text("tokenizer.ggml.add_bos_token") + u32(7) + b"\1",
        string("tokenizer.chat_template", "{{ messages }}"),
        strings("tokenizer.chat_templates", ["default", "tool_use"]),
        string("tokenizer.chat_template.tool_use", "{{ tools }}"),
        text("a.u8") + u32(0) + b"\1",
        text("a.i8") + u32(1) + b"\1",
        text("a.u16") + u32(2) + b"\1\0",
        text("a.i16") + u32(3) + b"\1\0",
        text("a.f32") + u32(6) + b"\0\0\0\0",
        text("a.u64") + u32(10) + u64(1),
        text("a.i64") + u32(11) + u64(1),
        text("a.f64") + u32(12) + u64(0),
    ]
    tensors = [tensor("token_embd.weight", (64, 3), 1), tensor("blk.0.ffn.weight", (64, 2, 1), 8, 384)]
    (folder / "gguf" / "rich.gguf").write_bytes(gguf(rich, tensors, data=384 + 136, align=64))
    (folder / "gguf" / "vocabulary-only.gguf").write_bytes(gguf(tensors=[], data=0))
    (folder / "gguf" / "version-2.gguf").write_bytes(gguf(version=2))
    members = ['"__metadata__":{"format":"pt","a\\u00e9":"\\ud83d\\ude00\\n"}', one(), one(name="h", dtype='"BF16"', shape="[2,2]", offsets="[8,16]")]
    members.append(one(name="scalar", dtype='"I64"', shape="[]", offsets="[16,24]"))
    body = "{" + ", ".join(members) + "}   "
    (folder / "safetensors" / "rich.safetensors").write_bytes(safetensors(body, b"\0" * 24))
    (folder / "safetensors" / "empty.safetensors").write_bytes(safetensors("{}"))


if __name__ == "__main__":
    for old in [*HERE.glob("gguf/*"), *HERE.glob("safetensors/*")]:
        old.unlink()
    write_gguf()
    write_safetensors()
    write_wellformed()
    lines = ["file\tkind\tfield", *("\t".join(row) for row in sorted(ROWS))]
    (HERE / "expected.tsv").write_text("\n".join(lines) + "\n")
    print(f"{len(ROWS)} files")
