"""The benchmark, run from a checkout: `python -m bench`, or `make bench`.

- `__main__`: the options, the rounds, the order in which contestants take turns;
- `contestants`: what provides the memory: zpager in its two ways of delivering faults;
- `table`: the data, the same bytes for every contestant, and how they are checked;
- `workload`: one round in a process of its own: fill, read, write, check;
- `report`: medians, targets, the table, the JSON file.

`bench.eviction` is another one, of what is behind docs/eviction.md.
"""
