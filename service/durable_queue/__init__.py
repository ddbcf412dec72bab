"""A durable queue in one file: the service's journal and the client's outbox are such queues.

It imports nothing of the service, so the client may import it. A record is on disk before `append` returns, and comes
back, in order and at least once, until it is acknowledged.
"""
