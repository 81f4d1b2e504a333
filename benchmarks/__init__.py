"""How fast and how large: figures as ratios, measured beside a reference in the same run (`make bench`)."""
