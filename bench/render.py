#!/usr/bin/env python3
"""Writes docs/benchmarks.md from bench/results/*.json. With --check: fails when the page is not what it would write."""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks.md"


def cell(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(name, by_system):
    """Rows: one per load; columns: one per figure and system."""
    systems = list(by_system)
    loads = list(by_system[systems[0]])
    figures = list(by_system[systems[0]][loads[0]])
    lines = [f"| {name} | system | " + " | ".join(figure.replace("_", " ") for figure in figures) + " |",
             "|" + "---|" * (2 + len(figures))]
    for load in loads:
        for system in systems:
            row = by_system[system][load]
            lines.append(f"| {load} | {system} | " + " | ".join(cell(row.get(figure, "-")) for figure in figures) + " |")
    return lines


def section(result):
    lines = [f"## {result['name']}", "", f"{result['work']}", "",
             f"- machine: {result['machine']}; date: {result['date']}", f"- command: `{result['command']}`", ""]
    ours, peers = result["ours"], result["peers"]
    nested = [key for key, value in ours.items() if isinstance(value, dict)]
    for key in nested:
        lines += table(key.replace("_", " "), {"fornax": ours[key], **{name: peer[key] for name, peer in peers.items() if key in peer}}) + [""]
    single = {key: value for key, value in ours.items() if key not in nested}
    if single:
        lines += ["Ours: " + ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in single.items()) + "."]
        for name, peer in peers.items():
            rest = {key: value for key, value in peer.items() if not isinstance(value, dict)}
            if rest:
                lines += [f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in rest.items()) + "."]
        lines += [""]
    if result.get("ratios"):
        lines += ["| ratio, ours / peer | value |", "|---|---|"]
        lines += [f"| {key} | {cell(value)} |" for key, value in result["ratios"].items()] + [""]
    if result.get("quality"):
        lines += ["Quality beside the speed: " + "; ".join(
            f"{key}: {', '.join(f'{k}: {cell(v)}' for k, v in value.items()) if isinstance(value, dict) else cell(value)}"
            for key, value in result["quality"].items()) + ".", ""]
    reading = ROOT / "bench/results" / f"{result['name']}.md"
    if reading.exists():
        lines += [reading.read_text().strip(), ""]
    return lines


def main():
    lines = ["# Benchmarks", "", "Generated from `bench/results/*.json` by `bench/render.py`; `make bench` makes the results. "
             "Each runs the peer and Fornax in one run on the same data. Losses stand here too.", ""]
    for path in sorted((ROOT / "bench/results").glob("*.json")):
        lines += section(json.loads(path.read_text()))
    text = "\n".join(lines).rstrip() + "\n"
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/benchmarks.md is not what bench/render.py writes: run it and commit the page")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
