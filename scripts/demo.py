"""What a first-time user does with Fornax's own documentation: asks it questions through the stock openai client
(OPENAI_BASE_URL and OPENAI_API_KEY say where), sees what was found, and what the model makes of it."""
import sys

from openai import OpenAI

client = OpenAI()
collection = sys.argv[1]
search = {"type": "file_search", "vector_store_ids": [collection], "max_num_results": 3}


def show(call):
    print(f"  searched for {call.queries[0]!r}")
    for number, found in enumerate(call.results or [], 1):
        print(f"  [{number}] {found.filename}  ({found.score:.3f})  {' '.join(found.text.split())[:100]}…")


def cited(text):
    names = [f"{note.filename} at {note.index}" for note in text.annotations]
    print("\n  cited:", ", ".join(names) if names else "nothing (a citation is only what the model wrote as [n])")


question = "What survives kill -9 and a power cut?"
print(f"1. {question} (whole)")
response = client.responses.create(
    model="fornax-nano", input=question, tools=[search], include=["file_search_call.results"], max_output_tokens=60, temperature=0.7,
    extra_body={"seed": 7},
)
show(response.output[0])
print("  fornax-nano:", response.output_text.replace("\n", "\n    "), end="")
cited(response.output[-1].content[0])

question = "How does one make a key for another tenant?"
print(f"\n2. {question} (streamed)")
events = client.responses.create(
    model="fornax-nano", input=question, tools=[search], include=["file_search_call.results"], max_output_tokens=60, temperature=0.7,
    extra_body={"seed": 7}, stream=True,
)
for event in events:
    if event.type == "response.output_item.done" and event.item.type == "file_search_call":
        show(event.item)
        print("  fornax-nano: ", end="", flush=True)
    elif event.type == "response.output_text.delta":
        print(event.delta.replace("\n", "\n    "), end="", flush=True)
    elif event.type in ("response.completed", "response.incomplete"):
        cited(event.response.output[-1].content[0])
        usage = event.response.usage
        print(f"  [{usage.input_tokens} tokens in, {usage.output_tokens} out]")
