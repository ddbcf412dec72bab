"""Plays calls into a running service from outside, over HTTP.

Here are a log replayed event by event, the demo and its traffic. It may import every room below to set a service up,
and speaks to it as any intake system would.
"""
