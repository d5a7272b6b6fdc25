"""What the benchmark changes of the machine, each change with its way back.

- `steps`: what can be undone, as plain data, and how;
- `keeper`: a process beside this one that undoes what is left if this one dies, whatever kills it;
- `signals`: SIGTERM and SIGHUP end the benchmark as Ctrl-C does, not in the middle of a way back;
- `cgroup`: a memory cgroup, of version 1 or 2;
- `swap_file`, `zram`, `zswap`, `vm`: what pages are swapped to, and how;
- `watch`: what a cgroup and the pool outside of it hold;
- `survey`: what is on already, and so is not to be touched.
"""
