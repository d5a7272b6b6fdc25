"""The measurements behind docs/eviction.md: `python -m bench.eviction`, or `make eviction`.

- `__main__`: the options, one question after the other;
- `contents`: what pages are filled with, and how what is read from them is checked;
- `workloads`: what is done with them, as steps that follow from a seed;
- `run`: one workload in one pager, in a process of its own;
- `questions`: which settings compete in which workloads;
- `measure`: the rounds of a question, all settings by turns; results.json;
- `tables`: medians of the results as Markdown;
- `plots`: the same as pictures;
- `document`: tables and pictures put between their markers in docs/eviction.md.
"""
