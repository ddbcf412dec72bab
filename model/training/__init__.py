"""Fits the scorecards.

Here are the log as it was known at one moment, a boosting without interactions, its calibration on later calls, its
distillation into steps, and label bias. It may import certification and all below. Training never sees what became
known after the moment it is given, and what it fits on, calibrates on and certifies on are three stretches of time.
"""
