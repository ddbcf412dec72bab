"""The console's words: one catalogue a language, and which of them a browser wants.

It imports nothing of the console. Every text exists in each language, with the same values in it.
"""
