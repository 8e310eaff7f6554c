"""Hostile inputs and faults that lqtui must outlive, each made from a seed and a number alone.

`python -m tests.campaign` runs the long campaign and prints its table; the tests here run a short one of
each part.
"""
