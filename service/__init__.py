"""What happens to calls: HTTP, storage and people.

Its rooms are layers, from `cli` at the top down to `telemetry`; each imports only rooms below it, and `model`.
"""
