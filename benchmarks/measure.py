"""Seconds and memory of a command, in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Measured(NamedTuple):
    """What a command took; `cpu_seconds` are those of all its threads."""

    seconds: float
    cpu_seconds: float
    peak_mib: float | None


def measure(*command: str) -> Measured:
    """Run a command and wait for it; raises CalledProcessError with its words where it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=errors.read())
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(once: Callable[[], Measured], repeats: int) -> Measured:
    """The median of each figure."""
    runs = [once() for _ in range(repeats)]
    peaks = [run.peak_mib for run in runs if run.peak_mib is not None]
    return Measured(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        statistics.median(peaks) if peaks else None,
    )
