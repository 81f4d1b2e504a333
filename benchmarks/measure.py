"""Seconds and memory of a command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from typing import NamedTuple


class Measured(NamedTuple):
    """What a command took."""

    seconds: float
    peak_mib: float


def measure(*command: str) -> Measured:
    """Run a command and wait for it; raises CalledProcessError with its words where it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=errors.read())
    return Measured(seconds, usage.ru_maxrss / 1024)
