"""One call's way from its request to its place in the queue.

Here are the deadline, redelivery from the journal, the event log with one lock a caller, and what happens to a call
after its score. How long it waits is decided in scoring. It may import scoring and all below. What was acknowledged is
on disk, in the store or in the journal; what is in memory is never ahead of it.
"""
