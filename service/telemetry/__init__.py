"""Metrics, logs and traces.

It imports nothing of the service. Telling a metric costs a few microseconds and never fails a call; no line of a log
has a telephone number or a key in it.
"""
