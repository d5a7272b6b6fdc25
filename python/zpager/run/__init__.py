"""`zpager run`: a program that knows nothing of zpager, with more memory than RAM.

`settings` finds what was asked for, `program` whether it can be done with this program, `preload` what the
library of `crates/preload` is told; `supervise` runs it, and `summary` tells what came of it.
"""
