"""The benchmark, run from a checkout: `python -m bench`, or `make bench`.

In the order in which a run comes about:

- `__main__`: the options, and what is shown in the end;
- `contestants`: who takes part, and what each needs of the machine; `machine` changes it and undoes that;
- `split`: how a contestant's RAM is divided between its cgroup and the kernel's pool outside of it;
- `rounds`: who runs when, each run in a process of its own, which is `run`;
- `programmes`: what a run does, on data of `table` or `samples`, at the places of `accesses`;
- `stores`: what a programme's data lies in;
- `checks`: what is measured of zpager alone;
- `results`, `report`, `plots`: what came of it all.

`sizes` has the amounts, `outcome` what processes tell each other. `bench.eviction` is another benchmark, of
what is behind docs/eviction.md.
"""
