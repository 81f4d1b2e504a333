"""What leaves the warehouse: one module a format."""

from meterhouse.exports.batch import Batch, export

__all__ = ["Batch", "export"]
