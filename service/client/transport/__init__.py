"""How the client reaches the service.

Here are one exchange, its connections, the circuit breaker, and an event loop in a thread of its own. It imports
nothing of the client. An exchange ends by its deadline, with an answer or with the reason why there is none.
"""
