"""What is left of an erased caller in the unused space of a SQLite file, found and removed."""
