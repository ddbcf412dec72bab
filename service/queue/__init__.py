"""The queue and what people decided of it.

Here are the states of a call, the board of waiting calls in memory, switch, staff and protected callers, whether calls
may be deferred now, the random holdout, a call made anew of its events, and the badge. It may import security and all
below. The board follows what is committed; a queue key may move forward and never back.
"""
