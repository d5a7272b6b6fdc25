"""Programs that nobody here wrote, with and without zpager: `python -m bench.programs`.

- `jobs`: Python programs of ours that do what others' programs do;
- `programs`: all programs, and what each needs;
- `tree`: a program's run to its end, while the RAM of all of its processes is looked at;
- `__main__`: who runs beside whom, and the table.
"""
