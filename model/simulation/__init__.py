"""Made-up cities: who calls, when, and what the call log of a year looks like.

It imports the columns of `model.calls` and nothing else; only commands, tests and benchmarks import it. The same city
and seed give the same log, byte for byte.
"""
