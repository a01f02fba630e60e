"""The dimensions of fornax-nano, shared by the script that trains it and the one that writes a random model of its shape."""

from llama_gguf import Shape

# 3.5 million parameters: as Q8_0 with its tokenizer just under the 4 MB that the repository carries.
# Few wide layers rather than many narrow ones, because on a CPU small matrices spend their time in overhead.
NANO = Shape(
    name="fornax-nano",
    context_tokens=1024,
    width=256,
    layers=4,
    heads=4,
    kv_heads=2,
    feed_forward_width=704,
    vocabulary=2048,
    tied_embeddings=True,
)
