"""Who may call, and callers without their numbers.

Here are API keys and roles, sessions and tokens, the middleware around the whole application, and keyed hashes of
telephone numbers. It may import the store and all below. An endpoint that names nobody is closed to everybody; no key
and no number is ever stored or logged.
"""
