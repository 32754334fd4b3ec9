"""`make bench`: each number beside its reference, measured in the same run against the stand-in org.

Machines are noisy: times are medians of calls made in turn, and what counts is the ratio.

`results` and `report` say what a number is and how it is shown, `processes` and `databases` set things up, `salesforce` is
the stand-in in a process of its own, `connections` what a site is filled with, `references` what we are held against. A module
each for the measures: `memory`, `signing_in`, `sweeps`, `herd`, `queries`, `site_load`, `pages` with `history`, the past it needs.
"""
