"""What is true of calls: no web, no database and no clock of its own (every `now` is passed in).

Its rooms are layers, from `release` at the top down to `calls`; each imports only rooms below it.
"""
