"""What the scripts here share: a byte-level BPE tokenizer, our chat template, and writing a Llama-architecture GGUF file.

Weights are passed as a dictionary from ggml tensor names (`blk.0.attn_q.weight`, ...) to float32 arrays of shape (outputs, inputs).
The rows of q and k must be in ggml's order for the `llama` architecture: rotary position pairs are neighbours (0 with 1, 2 with 3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import quantize as quantize_rows
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
# Their position in this list is their token id.
SPECIAL_TOKENS = [END_OF_TEXT, TURN_START, TURN_END]

# ChatML, with tools announced and called in the Hermes manner (JSON between <tool_call> tags).
CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'Functions you may call:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nTo call one, write <tool_call>\\n{"name": NAME, "arguments": OBJECT}\\n</tool_call>' }}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'system' and loop.first and tools %}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{%- if not loop.first or message.content %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


@dataclass(frozen=True)
class Shape:
    """The dimensions of a Llama-architecture decoder. Widths are counts of elements."""

    name: str
    context_tokens: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward_width: int
    vocabulary: int
    tied_embeddings: bool
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Trains a GPT-2 style byte-level BPE; the same texts always give the same tokenizer.

    Pads with unused entries when the text has too few distinct pairs for the vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    missing = vocabulary - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<|unused_{index}|>" for index in range(missing)])
    return tokenizer


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Every tensor of the architecture with its (outputs, inputs), in file order."""
    kv_width = shape.kv_heads * shape.head_width
    tensors: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocabulary, shape.width)}
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        tensors |= {
            prefix + "attn_norm.weight": (shape.width,),
            prefix + "attn_q.weight": (shape.width, shape.width),
            prefix + "attn_k.weight": (kv_width, shape.width),
            prefix + "attn_v.weight": (kv_width, shape.width),
            prefix + "attn_output.weight": (shape.width, shape.width),
            prefix + "ffn_norm.weight": (shape.width,),
            prefix + "ffn_gate.weight": (shape.feed_forward_width, shape.width),
            prefix + "ffn_up.weight": (shape.feed_forward_width, shape.width),
            prefix + "ffn_down.weight": (shape.width, shape.feed_forward_width),
        }
    tensors["output_norm.weight"] = (shape.width,)
    if not shape.tied_embeddings:
        tensors["output.weight"] = (shape.vocabulary, shape.width)
    return tensors


def parameter_count(shape: Shape) -> int:
    return sum(int(np.prod(dimensions)) for dimensions in tensor_shapes(shape).values())


FILE_TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}


def write_gguf(
    path: Path,
    shape: Shape,
    tokenizer: Tokenizer,
    weight_of,
    file_type: str,
    description: str,
    license_name: str,
) -> None:
    """Writes the model; `weight_of(name, dimensions)` is called once per tensor, in file order.

    Vectors stay F32. In a Q4_0 file the output matrix (or the tied embedding) is Q8_0: four bits there cost too much quality.
    """
    matrix_type, general_type = FILE_TYPES[file_type]
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_name(shape.name)
    writer.add_description(description)
    writer.add_license(license_name)
    writer.add_file_type(general_type)
    writer.add_quantization_version(2)
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    add_tokenizer(writer, tokenizer)
    output_name = "token_embd.weight" if shape.tied_embeddings else "output.weight"
    for name, dimensions in tensor_shapes(shape).items():
        weight = np.ascontiguousarray(weight_of(name, dimensions), dtype=np.float32)
        assert weight.shape == dimensions, (name, weight.shape, dimensions)
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
            continue
        tensor_type = matrix_type
        if file_type == "q4_0" and name == output_name:
            tensor_type = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize_rows(weight, tensor_type), raw_dtype=tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Adds the vocabulary, its merges, the special tokens and the chat template.

    No token is put before a prompt (`add_bos_token` is false): a chat starts with its first turn marker.
    """
    by_id = {index: text for text, index in tokenizer.get_vocab(with_added_tokens=True).items()}
    tokens = [by_id[index] for index in range(len(by_id))]
    types = []
    for text in tokens:
        if text in SPECIAL_TOKENS:
            types.append(gguf.TokenType.CONTROL)
        elif text.startswith("<|unused_"):
            types.append(gguf.TokenType.UNUSED)
        else:
            types.append(gguf.TokenType.NORMAL)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(SPECIAL_TOKENS.index(END_OF_TEXT))
    writer.add_eos_token_id(SPECIAL_TOKENS.index(TURN_END))
    writer.add_eot_token_id(SPECIAL_TOKENS.index(TURN_END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
