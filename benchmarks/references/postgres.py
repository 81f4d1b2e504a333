"""PostgreSQL as Polar uses it: started for the benchmark in a folder of its own, stopped and removed with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Measured, measure
from benchmarks.references.polar import INDEXES, ORGANIZATION, TABLE, query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterhouse.catalog import Meter

_DEBIAN: Final = Path("/usr/lib/postgresql/15/bin")
_ACCOUNT: Final = "postgres"
_PATIENCE: Final = 60.0
_PAGE: Final = "SC_PAGE_SIZE"
_TUNED: Final = (
    "work_mem=256MB",
    "maintenance_work_mem=1GB",
    "random_page_cost=1.1",
    "max_wal_size=16GB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
)
TUNED: Final = "shared_buffers a quarter of memory, " + ", ".join(_TUNED) + ", parallel on all cores, VACUUM ANALYZE"


def binaries() -> Path | None:
    """Where PostgreSQL 15 is installed; None where it is not."""
    return _DEBIAN if (_DEBIAN / "initdb").is_file() and shutil.which("psql") else None


@dataclass(frozen=True)
class Server:
    """A running server with an empty database."""

    port: int

    def run(self, script: str) -> Measured:
        """Run SQL in a client; the seconds are the server's and the client's, the memory is not told."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
            file.write(script)
            file.flush()
            found = measure(*self.client("--file", file.name))
        return found._replace(peak_mib=None)

    def client(self, *options: str) -> list[str]:
        """The command of a client that stops at the first fault."""
        place = ["--host=127.0.0.1", f"--port={self.port}", "--username=bench", "--dbname=postgres"]
        return ["psql", *place, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *options]

    def load(self, files: str) -> None:
        """Events of Parquet files (a pattern), Polar's indexes, and statistics for the planner."""
        self.run(TABLE)
        columns = "timestamp, name, external_customer_id, external_id, organization_id, user_metadata"
        written = [sys.executable, "-m", "benchmarks.references.postgres", files]
        copied = self.client("--command", f"copy events ({columns}) from stdin (format csv)")
        with subprocess.Popen(written, stdout=subprocess.PIPE) as writer:
            subprocess.run(copied, stdin=writer.stdout, check=True)
        if writer.returncode:
            raise subprocess.CalledProcessError(writer.returncode, written)
        self.run("; ".join([*INDEXES, "vacuum analyze events"]))

    def meter(self, meters: dict[str, Meter]) -> Measured:
        """One query a meter; each result is written to a table."""
        tables = [
            f"drop table if exists {name}; create unlogged table {name} as {query(meter)}"
            for name, meter in meters.items()
        ]
        return self.run("set client_min_messages = warning;" + ";".join(tables))


@contextmanager
def server(installed: Path) -> Iterator[Server]:
    """Start a server on a free port of the loopback interface, as a user without rights."""
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-postgres-") as name:
        folder = Path(name)
        unprivileged = _unprivileged(folder)
        made = [*unprivileged, str(installed / "initdb"), "--pgdata", str(folder / "data"), "--username=bench"]
        subprocess.run([*made, "--auth=trust", "--encoding=UTF8", "--locale=C"], check=True, stdout=subprocess.DEVNULL)
        port = _free_port()
        settings = [*_TUNED, *_sized(), "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = [*unprivileged, str(installed / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options]
        with (folder / "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _await(installed, port, process, folder / "log")
            yield Server(port)
        finally:
            # What is removed anyway need not be written.
            process.send_signal(3)
            process.wait(_PATIENCE)


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, _ACCOUNT)
    return ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups"]


def _sized() -> list[str]:
    memory = os.sysconf(_PAGE) * os.sysconf("SC_PHYS_PAGES") >> 20
    cores = os.cpu_count() or 1
    return [
        f"shared_buffers={memory // 4}MB",
        f"effective_cache_size={memory // 2}MB",
        f"max_parallel_workers_per_gather={cores}",
        f"max_parallel_maintenance_workers={cores}",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(installed: Path, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    asked = [str(installed / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    until = time.monotonic() + _PATIENCE
    while subprocess.run(asked, check=False).returncode:
        if process.poll() is not None or time.monotonic() > until:
            message = f"PostgreSQL did not start:\n{log.read_text(encoding='utf-8')}"
            raise RuntimeError(message)
        time.sleep(0.1)


def _write_csv(files: str) -> None:
    """Events as PostgreSQL copies them in, on stdout; loading is not measured."""
    from benchmarks.references.duck import connect  # noqa: PLC0415 - the server's process needs no DuckDB

    connect().execute(f"""
        copy (
            select timestamp, name, external_customer_id, event_id, '{ORGANIZATION}', metadata
            from read_parquet('{files}')
        ) to '/dev/stdout' (format csv, header false)
    """)


if __name__ == "__main__":
    _write_csv(sys.argv[1])
