"""Fits the scorecards.

Here are the log as it was known at one moment, the cuts in time, what is fitted at each of them, policy and likeness,
and label bias. It may import boosting and all below. Training never sees what became
known after the moment it is given, and what it fits on, calibrates on and certifies on are three stretches of time.
"""
