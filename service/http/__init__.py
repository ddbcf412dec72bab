"""The HTTP contract, version 1: its routes, what they share, and the queue as a stream.

It may import maintenance, watch and all below. A route reads a body once, up to a limit, names who may call it, and
answers every refusal with a problem document that names the field.
"""
