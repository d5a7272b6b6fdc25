"""The report of a sweep: one HTML page that needs nothing else, and its figures as PNG.

- `group`: what is compared with one another, and how it is called; `tables`: figures in rows.
- `theme`: how pictures look, and how they become SVG and PNG; `figures`: the pictures.
- `page`: all of it on one page.
"""
