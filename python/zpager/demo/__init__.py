"""The demonstration: an idle program A and a busy program B share RAM that is too small for both.

It stages the problem of the RFC "frontswap unuse for zcache" (2012) on real memory. A loads, works once, and
sleeps for good; its pages fill the compressed pool. B works all the time, and without eviction all of its
misses go to the disk. With "unuse", "writeback" or "intact" A's pages go there instead.

The map, in the order in which a demonstration runs:

- `command`: `zpager demo`, its options, and the checks before anything runs;
- `data`: A's data, real content found on the machine or given by the user;
- `work`: B's tables and what B does with them;
- `contest`: one run, A and B in one process, which reports JSON lines while it works;
- `runner`: starts a run as a process of its own, reads its reports, ends it;
- `display`: what is shown meanwhile; `report`, `plot`: what is shown in the end;
- `verify`: every byte of A and B against what it must be;
- `resident`: what the kernel says of a process's RAM.
"""
