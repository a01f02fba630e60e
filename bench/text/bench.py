#!/usr/bin/env python3
"""bench/text: our lexical index beside tantivy's on the same passages, one thread. Writes bench/results/text.json.

    bench/text/bench.py --data ../shared/data

Passages are those of tinyshakespeare.txt: each line by itself, and each speech as one passage. Both engines index the terms that our
analysis makes, in one segment in memory, and answer the same queries; see src/main.rs. Figures are microseconds a query, the best of
seven rounds in alternating order.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def machine():
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    total = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores of {model}, {total // 2**20} GiB, Linux {platform.release()}"


def passages(text):
    """Sets of passages, one to a line."""
    speeches = (" ".join(speech.split()) for speech in text.split("\n\n"))
    return {"lines": text, "speeches": "\n".join(speeches)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder with tinyshakespeare.txt")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--manifest-path", str(HERE / "Cargo.toml")], check=True)
    program = HERE / "target/release/bench-text"
    ours, theirs, ratios, quality, counts = {}, {}, {}, {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for name, lines in passages((arguments.data / "tinyshakespeare.txt").read_text()).items():
            file = pathlib.Path(scratch) / f"{name}.txt"
            file.write_text(lines)
            found = json.loads(subprocess.run([program, "--json", file], check=True, capture_output=True, text=True).stdout)
            counts.append(f"{found['passages']:,} {name} of at most {found['terms_max']} terms")
            ours[f"top {found['k']}, {name}"] = {row["name"]: {"us_per_query": row["ours_us"]} for row in found["queries"]}
            theirs[f"top {found['k']}, {name}"] = {row["name"]: {"us_per_query": row["tantivy_us"]} for row in found["queries"]}
            ours[f"build_seconds_{name}"] = found["build_seconds"]["ours"]
            theirs[f"build_seconds_{name}"] = found["build_seconds"]["tantivy"]
            ratios |= {f"{name}, {row['name']}": round(row["ours_us"] / row["tantivy_us"], 2) for row in found["queries"]}
            quality[f"queries with tantivy's scores, {name}"] = {row["name"]: f"{row['same_scores']} of {row['queries']}" for row in found["queries"]}
    result = {
        "name": "text", "date": datetime.date.today().isoformat(), "machine": machine(), "command": "bench/text/bench.py",
        "work": f"BM25 over {' and '.join(counts)}; 1, 2, 4 and 8 words of passages and pairs of the ten most frequent words, one thread, in memory; "
                "tantivy rounds lengths above 40 terms, so that scores of long passages differ",
        "ours": ours, "peers": {"tantivy 0.27": theirs}, "ratios": ratios, "quality": quality,
    }
    arguments.results.mkdir(exist_ok=True)
    (arguments.results / "text.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
