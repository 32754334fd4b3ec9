"""`make bench`: each number beside its reference, measured in the same run against the stand-in org.

Machines are noisy: times are medians, and what counts is the ratio.
"""
