"""Runs every suite against one server and writes docs/conformance.md: conformance/run.py BINARY [PROTOCOL]

With PROTOCOL only the suites of protocols that begin with it run, and the report keeps its lines of the others.
Each suite is a real client library. A case that needs a model which is not there is skipped, and counts as skipped, not
as passed. Exits with 1 when any case fails.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

from server import ROOT, Server

HERE = pathlib.Path(__file__).resolve().parent
REPORT = ROOT / "docs" / "conformance.md"


@dataclasses.dataclass
class Suite:
    protocol: str
    client: str
    version: str
    command: list
    directory: pathlib.Path
    # Of the server that the suite talks to.
    flags: tuple = ()
    # What the suite is told besides where the server is.
    told: dict = dataclasses.field(default_factory=dict)
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)
    skipped: list = dataclasses.field(default_factory=list)

    @property
    def total(self) -> int:
        return self.passed + len(self.failed) + len(self.skipped)

    def run(self, environment: dict) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            results = pathlib.Path(scratch) / "results.xml"
            command = [part.replace("RESULTS", str(results)) for part in self.command]
            subprocess.run(command, cwd=self.directory, env={**environment, **self.told}, check=False)
            self.read(results)

    def read(self, results: pathlib.Path) -> None:
        if not results.exists() or not results.stat().st_size:
            self.failed.append("the suite did not run")
            return
        for case in xml.parse(results).iter("testcase"):
            name = case.get("name", "?")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif case.find("skipped") is not None:
                self.skipped.append(name)
            else:
                self.passed += 1
        if self.total == 0:
            self.failed.append("the suite has no cases")


def suites() -> list:
    import openai

    node = HERE / "node"
    node_version = json.loads((node / "node_modules" / "openai" / "package.json").read_text())["version"]
    reporter = ["--test-reporter=spec", "--test-reporter-destination=stdout"]
    reporter += ["--test-reporter=junit", "--test-reporter-destination=RESULTS"]
    return [
        Suite(
            protocol="OpenAI",
            client="openai (Python)",
            version=openai.__version__,
            command=[sys.executable, "-m", "pytest", "-q", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / "python",
        ),
        Suite(
            protocol="OpenAI",
            client="openai (Node)",
            version=node_version,
            command=["node", *reporter, "--test", "openai.test.mjs"],
            directory=node,
        ),
        *python_suites(),
        Suite(
            protocol="OpenAI files and vector stores",
            client="openai (Python)",
            version=openai.__version__,
            command=[sys.executable, "-m", "pytest", "-q", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / "python_files",
        ),
        *qdrant_suites(),
        *mcp_suites(),
        *grpc_suites(),
    ]


def python_suites() -> list:
    """Protocols whose suite is one Python client and a directory of cases."""
    import importlib.metadata

    return [
        Suite(
            protocol=protocol,
            client=f"{package} (Python)",
            version=importlib.metadata.version(package),
            command=[sys.executable, "-m", "pytest", "-q", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / f"python_{package}",
        )
        for protocol, package in (("Anthropic", "anthropic"), ("Ollama", "ollama"))
    ]


def qdrant_suites() -> list:
    """One for each transport, with the same cases; random operations beside the client's own engine are among them."""
    import importlib.metadata

    version = importlib.metadata.version("qdrant-client")
    return [
        Suite(
            protocol=f"Qdrant, {transport}",
            client="qdrant-client, langchain-qdrant, langchain-openai (Python)",
            version=version,
            command=[sys.executable, "-m", "pytest", "-q", "-rP", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / "python_qdrant",
            told={"CONFORMANCE_TRANSPORT": transport.lower()},
        )
        for transport in ("REST",)
    ]


def mcp_suites() -> list:
    """The official suite asks for tools, resources and prompts of its own, which the server has under a flag only."""
    import importlib.metadata

    directory = HERE / "mcp"
    packages = directory / "node_modules"
    official = json.loads((packages / "@modelcontextprotocol" / "conformance" / "package.json").read_text())["version"]
    node = str(packages / ".bin" / "node")
    parts = {"required": "official conformance suite", "extra": "official conformance suite, extensions and later scenarios"}
    flags = ("--mcp-fixtures",)
    made = [
        Suite(
            protocol=f"MCP {revision}",
            client=client,
            version=official,
            command=[node, "suite.mjs", revision, part, "RESULTS"],
            directory=directory,
            flags=flags,
        )
        for part, client in parts.items()
        for revision in ("2026-07-28", "2025-11-25")
    ]
    made.append(
        Suite(
            protocol="MCP, both eras, HTTP and stdio",
            client="mcp (Python)",
            version=importlib.metadata.version("mcp"),
            command=[sys.executable, "-m", "pytest", "-q", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / "python_mcp",
            flags=flags,
        )
    )
    return made


def grpc_suites() -> list:
    """Needs no model. The oracle is the client's own in-memory mode."""
    import importlib.metadata

    return [
        Suite(
            protocol="Qdrant, gRPC",
            client="qdrant-client, grpcio",
            version=f"{importlib.metadata.version('qdrant-client')}, {importlib.metadata.version('grpcio')}",
            command=[sys.executable, "-m", "pytest", "-q", "--junitxml=RESULTS", "-p", "no:cacheprovider", "."],
            directory=HERE / "python_qdrant_grpc",
        )
    ]


def kept(suite: Suite) -> tuple:
    """What the last report says of a suite: its row, and its lines in the lists."""
    lines = REPORT.read_text().splitlines() if REPORT.exists() else []
    rows = [line for line in lines if line.startswith(f"| {suite.protocol} | {suite.client} |")]
    prefix = f"- {suite.protocol}, {suite.client}: "
    cases = {"failed": [], "skipped": []}
    title = ""
    for line in lines:
        if line.startswith("## "):
            title = line.removeprefix("## ").lower()
        elif line.startswith(prefix):
            cases[title].append(line)
    return rows, cases


def report(all_suites: list, done: list) -> str:
    lines = [
        "# Conformance",
        "",
        "Generated by `make conformance`: real client libraries, unmodified, against the real binary.",
        "A case that needs a model which was not in the store is skipped, and does not count as passed.",
        "",
        "| protocol | client | version | passed | total | skipped | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    cases = {"failed": [], "skipped": []}
    for suite in all_suites:
        if suite not in done:
            rows, lists = kept(suite)
        else:
            numbers = f"{suite.passed} | {suite.total} | {len(suite.skipped)} | {len(suite.failed)}"
            rows = [f"| {suite.protocol} | {suite.client} | {suite.version} | {numbers} |"]
            lists = {title: [f"- {suite.protocol}, {suite.client}: {name}" for name in getattr(suite, title)] for title in cases}
        lines += rows
        for title in cases:
            cases[title] += lists[title]
    for title, names in cases.items():
        if names:
            lines += ["", f"## {title.capitalize()}", "", *names]
    return "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print("usage: conformance/run.py BINARY [PROTOCOL]", file=sys.stderr)
        return 2
    all_suites = suites()
    wanted = sys.argv[2] if len(sys.argv) == 3 else ""
    done = [suite for suite in all_suites if suite.protocol.startswith(wanted)]
    for flags, group in itertools.groupby(done, key=lambda suite: suite.flags):
        group = list(group)
        with Server(sys.argv[1], *flags) as server:
            environment = dict(
                os.environ,
                CONFORMANCE_BINARY=server.binary,
                CONFORMANCE_URL=server.url,
                CONFORMANCE_KEY=server.key,
                PYTHONDONTWRITEBYTECODE="1",
            )
            for suite in group:
                suite.run(environment)
            if any(suite.failed for suite in group):
                print(server.log_text(), file=sys.stderr)
    failed = any(suite.failed for suite in done)
    text = report(all_suites, done)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
