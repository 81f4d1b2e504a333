"""meterhouse: an analytical batch engine for usage-based billing."""

from typing import Final

__version__: Final = "0.1.0"
