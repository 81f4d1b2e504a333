"""What can go wrong, as a small tree. Every message says what, where, what was expected and how to mend it.

MeterhouseError             anything a user can mend; the command line prints it without a traceback
├── ProjectError            the project folder: settings, catalog, customers, subscriptions
├── WarehouseError          storage: schema mismatch, a conflicting writer, a damaged table
│   └── WarehouseBusy       another run holds the warehouse
├── ArithmeticRangeError    a quantity or an amount that does not fit its exact type
└── AuditFailed             two engines, or two totals, disagree
"""

from __future__ import annotations


class MeterhouseError(Exception):
    """A fault that a user can mend. `exit_code` is what the command line ends with."""

    exit_code = 1


class ProjectError(MeterhouseError):
    """The project folder cannot be used as it is."""

    exit_code = 2


class WarehouseError(MeterhouseError):
    """A stored table cannot be read or written safely."""

    exit_code = 3


class WarehouseBusy(WarehouseError):
    """Another run holds the warehouse."""

    exit_code = 4


class ArithmeticRangeError(MeterhouseError):
    """A number does not fit the exact decimal it must be kept in."""

    exit_code = 5


class AuditFailed(MeterhouseError):
    """A recomputation disagrees with what is stored."""

    exit_code = 6
