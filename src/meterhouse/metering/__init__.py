"""Events to usage: filters, aggregations, daily states."""
