"""Records of all shapes to the fields of an event (rule 1.2)."""
