"""The lab: page traces, replayed on the engine that the product runs, in virtual time.

- `trace`: what a program touched, and its file; `formats`: what others write; `record`: a program of yours.
"""
