"""The command line: what a person or a schedule types. It reads and shows; it computes nothing.

What a command needs is imported when the command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    try:
        from meterhouse.cli.app import app

        app()
    except KeyboardInterrupt:
        from meterhouse.cli.faults import INTERRUPTED, tell_interrupted

        tell_interrupted()
        sys.exit(INTERRUPTED)
    except Exception as fault:  # noqa: BLE001 - the last edge: what nobody foresaw is told, not dumped
        from meterhouse.cli.faults import tell_unexpected

        sys.exit(tell_unexpected(fault))
