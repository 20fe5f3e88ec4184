import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.integration.stack import ROOT, wait_until


@dataclass
class Served:
    """A ``lethe serve`` that the test started, and whatever it started in turn."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.is_ready, seconds=120)

    def processes(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def part(self, word: str) -> int | None:
        """Return the process of the part whose command holds the word: not its guard."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            command = _command(child)
            if any(word in argument for argument in command) and not any("guard" in argument for argument in command):
                return child.pid
        return None

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def start_serving(data_dir: Path, *, port: int | None = None) -> Served:
    port = port or _free_port()
    command = [sys.executable, "-c", "from cli.main import app; app()", "serve", "--data-dir", str(data_dir)]
    with (data_dir.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("LETHE_")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Served(data_dir, port, process)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
