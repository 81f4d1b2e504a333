"""The accepted shapes: what each peer calls the fields of an event (rule 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meterhouse.catalog.sources import ShapeName

UNIX_SECONDS: Final = r"^\d{1,11}(\.\d+)?$"
"""Seconds since 1970, as a number or as text. With more digits they would leave the years that are known."""

AMOUNT: Final = "precise_total_amount_cents"
"""Lago's amount of an event stands beside its properties; here it is one of them, since it is there to be billed."""

EVERYWHERE: Final = ("source", "received_at")
"""Fields that every shape may have."""


@dataclass(frozen=True)
class Shape:
    """What a peer calls the fields of an event.

    `names` gives the peer's name of each of meterhouse's fields, `unused` what else may be there and says nothing that
    is metered. Without `is_timed`, an event that has no timestamp happened when it was received, as the peer has it.
    """

    title: str
    names: Mapping[str, str]
    unused: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    is_timed: bool = True
    takes_unix_seconds: bool = False

    def __post_init__(self) -> None:
        """Let every shape name the fields that all may have."""
        object.__setattr__(self, "names", {field: field for field in EVERYWHERE} | dict(self.names))

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that a record of this shape may have."""
        return tuple(dict.fromkeys((*self.required, *self.names.values(), *self.unused)))


METERHOUSE: Final = Shape(
    "meterhouse",
    {
        "event_id": "event_id",
        "name": "name",
        "customer_id": "customer_id",
        "external_customer_id": "external_customer_id",
        "subscription_id": "subscription_id",
        "timestamp": "timestamp",
        "metadata": "metadata",
    },
)

DODO: Final = Shape("Dodo", {**METERHOUSE.names, "name": "event_name"})

POLAR: Final = Shape(
    "Polar",
    {
        "event_id": "external_id",
        "name": "name",
        "customer_id": "customer_id",
        "external_customer_id": "external_customer_id",
        "timestamp": "timestamp",
        "metadata": "metadata",
    },
    unused=("organization_id", "parent_id", "member_id", "external_member_id"),
    is_timed=False,
)

CLOUD_EVENTS: Final = Shape(
    "CloudEvents",
    # Nothing says in whose books `subject` is the customer's id, so it is looked up in both.
    {
        "event_id": "id",
        "name": "type",
        "customer_id": "subject",
        "external_customer_id": "subject",
        "timestamp": "time",
        "metadata": "data",
    },
    unused=("datacontenttype", "dataschema"),
    required=("specversion", "id", "source"),
    is_timed=False,
)

STRIPE: Final = Shape(
    "Stripe",
    {
        "event_id": "identifier",
        "name": "event_name",
        "timestamp": "timestamp",
        "received_at": "created",
        "metadata": "payload",
    },
    unused=("object", "livemode"),
    required=("payload",),
    is_timed=False,
    takes_unix_seconds=True,
)

LAGO: Final = Shape(
    "Lago",
    {
        "event_id": "transaction_id",
        "name": "code",
        "external_customer_id": "external_customer_id",
        "subscription_id": "external_subscription_id",
        "timestamp": "timestamp",
        "received_at": "created_at",
        "metadata": "properties",
    },
    unused=("lago_id", "lago_customer_id", "lago_subscription_id", AMOUNT),
    required=("transaction_id",),
    is_timed=False,
    takes_unix_seconds=True,
)

VOID: Final = Shape(
    "void",
    {"void": "void", "event_id": "event_id", "timestamp": "timestamp", "metadata": "metadata"},
    is_timed=False,
)
"""Takes an event back (rule 1.6). Of that event it says nothing but its id, and `event_id` is its own."""

SHAPES: Final = (VOID, CLOUD_EVENTS, STRIPE, LAGO, POLAR, DODO, METERHOUSE)
"""A record is of the first shape of which it has a field that no later one has."""

OBJECT_FIELDS: Final = ("metadata", "data", "payload", "properties")
"""Fields that are JSON objects; they are kept as the text that they are."""

SCALAR_FIELDS: Final = ("timestamp", "created", "livemode", AMOUNT)
"""Fields that may be text, a number or a flag; kept as text, numbers as they are spelled."""

TEXT_FIELDS: Final = tuple(
    field
    for field in dict.fromkeys(field for shape in reversed(SHAPES) for field in shape.fields)
    if field not in {*OBJECT_FIELDS, *SCALAR_FIELDS}
)
"""Fields that are text."""


def marks(shape: Shape) -> tuple[str, ...]:
    """The fields that tell a shape from those that come after it."""
    later = {field for other in SHAPES[SHAPES.index(shape) + 1 :] for field in other.fields}
    return tuple(field for field in shape.fields if field not in later)


def shape_named(name: ShapeName) -> Shape:
    """The shape that a source names."""
    return next(shape for shape in SHAPES if shape.title.lower() == name)
