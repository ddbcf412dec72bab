"""One call's way from its request to its place in the queue.

Here are the deadline and first come, first served behind it, redelivery from the journal, the event log with one lock a
caller, scoring, and the decision how long a call waits. It may import queue and all below. What was acknowledged is on
disk, in the store or in the journal; what is in memory is never ahead of it.
"""
