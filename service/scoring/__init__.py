"""From what is known of a call to its answer: the score with its reasons, the band, the deferral and the queue key.

Here is nothing that waits: no storage and no HTTP. It may import queue and all below. A call is deferred only as far as
its release's policy, certificate and switch allow at that moment, and never longer than it was before.
"""
