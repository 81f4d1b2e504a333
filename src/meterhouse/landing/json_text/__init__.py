"""JSON as text: parsed many at once, and spelled exactly."""
