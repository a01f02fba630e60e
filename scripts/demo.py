"""What a first-time user does: a streamed chat and a question answered by the nearest of a few sentences, both through
the stock openai client (OPENAI_BASE_URL and OPENAI_API_KEY say where)."""
import math
import time

from openai import OpenAI

client = OpenAI()

print("chat (fornax-nano is a 4 MB toy trained on Shakespeare: expect his rhythm, not sense):")
question = "Speak to me of love and war."
print(f"  user: {question}\n  fornax-nano: ", end="", flush=True)
began, first, usage = time.perf_counter(), None, None
for chunk in client.chat.completions.create(
    model="fornax-nano", messages=[{"role": "user", "content": question}],
    max_tokens=80, seed=7, temperature=0.7, stream=True, stream_options={"include_usage": True},
):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        if choice.delta.content:
            first = first or time.perf_counter()
            print(choice.delta.content.replace("\n", "\n    "), end="", flush=True)
print(f"\n  [{usage.prompt_tokens} tokens in, {usage.completion_tokens} out, first token after {1e3 * (first - began):.0f} ms "
      "with the model's start]\n")

sentences = [
    "Vitamin D deficiency is common in patients who rarely see the sun.",
    "The quarterly report shows a loss in the bond portfolio.",
    "A write is acknowledged only after it has reached the disk.",
    "The violin section comes in softly after the second bar.",
    "Replace the coolant filter every two thousand hours of operation.",
    "Neutron stars form when massive stars collapse.",
]
query = "How do I know that my data is safe when the power fails?"
vectors = [item.embedding for item in client.embeddings.create(model="minilm", input=[query, *sentences]).data]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


print(f"nearest (minilm, {len(vectors[0])} dimensions) to: {query}")
for score, sentence in sorted(((cosine(vectors[0], vector), sentence) for vector, sentence in zip(vectors[1:], sentences)), reverse=True):
    print(f"  {score:6.3f}  {sentence}")
