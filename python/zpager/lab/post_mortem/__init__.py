"""The post-mortem of the RFC: its patch as it was, and the questions that it left open.

- `experiments`: what is replayed for each question; `measures`: what is read off a result.
- `answers`: tables, pictures and single figures; `page.md`: the words around them; `document`: both together.
"""
