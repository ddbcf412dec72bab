"""A caller's past as a small vector of decayed sums.

Here are also the replay of a log through it, and how unusual the present load is (surge). It may import calls. History
is read strictly before the call that asks, and reading never changes it.
"""
