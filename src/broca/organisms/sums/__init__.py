"""`sums`: a small model that reads bytes and does arithmetic asked for in words; it has never seen a mistake.

`train` makes it; what it is asked is `broca.stimuli.sums`.
"""
