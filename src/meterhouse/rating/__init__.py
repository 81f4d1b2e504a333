"""Usage and prices to rated steps: included units, tiers, cap."""
