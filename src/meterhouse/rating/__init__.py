"""Usage and prices to charges: included units, credits, tiers, cap (rule 4.6).

The order is quantity -> included units -> credits -> price -> cap. Rounding comes later, on the invoice line.
"""

from __future__ import annotations

from meterhouse.rating.charges import charge
from meterhouse.rating.credited import cover_credited
from meterhouse.rating.included import cover_included
from meterhouse.rating.tiers import rate

__all__ = ["charge", "cover_credited", "cover_included", "rate"]
