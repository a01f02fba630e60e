"""One Fornax server for the length of a run: a free port, an empty data directory, the models that are there."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
MINILM = ROOT / "models" / "downloads" / "minilm.gguf"
RERANKER = ROOT / "testdata" / "reranker" / "random.gguf"
READY_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running `fornax serve`; a context manager that ends it and removes its data."""

    def __init__(self, binary: str, *flags: str):
        self.flags = flags
        self.binary = str(pathlib.Path(binary).resolve())
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="fornax-conformance-"))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FORNAX_")}
        self.environment["FORNAX_DATA_DIR"] = str(self.data)
        self.log = open(self.data / "server.log", "w+")
        self.process = None

    def __enter__(self) -> "Server":
        try:
            if MINILM.exists():
                self.run("pull", str(MINILM), "--name", "minilm")
            self.run("pull", str(RERANKER), "--name", "random-reranker")
            self.process = subprocess.Popen(
                [self.binary, "serve", "--bind", self.url.removeprefix("http://"), *self.flags],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=subprocess.STDOUT,
                cwd=self.data,
            )
            self.wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def run(self, *arguments: str) -> None:
        subprocess.run([self.binary, *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}:\n{self.log_text()}")
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the server was not ready after {READY_SECONDS} s:\n{self.log_text()}")

    def log_text(self) -> str:
        return (self.data / "server.log").read_text(errors="replace")[-8000:]

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()
