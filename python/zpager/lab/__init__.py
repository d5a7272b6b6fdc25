"""The lab: page traces, replayed on the engine that the product runs, in virtual time.

- `trace`: what a program touched, and its file; `formats`: what others write;
- `record_command`: a program of yours, recorded (`record`) by valgrind (`record_lackey`, `contents`) or by
  the pager (`record_pager`).
"""
