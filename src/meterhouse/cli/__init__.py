"""The command line: what a person or a schedule types. It reads and shows; it computes nothing.

What a command needs is imported when the command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name, and end the process with its exit code."""
    try:
        try:
            from meterhouse.cli.app import app

            app()
        finally:
            # Here and not at the interpreter's end, where nobody can tell in words that it failed.
            sys.stdout.flush()
    except KeyboardInterrupt:
        from meterhouse.cli.faults import INTERRUPTED, tell_interrupted

        tell_interrupted()
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        from meterhouse.cli.faults import drop_output

        sys.exit(drop_output())
    except Exception as fault:  # noqa: BLE001 - the last edge: what nobody foresaw is told, not dumped
        from meterhouse.cli.faults import is_full_or_broken, tell_unexpected, tell_unwritable

        sys.exit(tell_unwritable(fault) if is_full_or_broken(fault) else tell_unexpected(fault))
