"""The client that an intake system embeds.

Whatever the service does, a call gets its place in the queue in time.

Of the service it imports its durable queue, of `model` the errors, the grammar and when a call counts as arrived, and
else httpx and the standard library.
What it does not protect from: a process that stops itself (a full garbage collection of a large one takes longer than
the deadline), and a local disk that hangs, for which `answered`, `ended` and `disposition` wait a few seconds.
"""

from service.client.clients import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
