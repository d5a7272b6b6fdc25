"""Where the random accesses go: one random word in each of many pages."""

from __future__ import annotations

import numpy as np

from bench.table import WORDS_IN_PAGE, Words

_ZIPF_EXPONENT = 0.99  # YCSB's


def evenly(random: np.random.Generator, pages: int, count: int, first_page: int = 0) -> Words:
    """Every one of `pages` pages from `first_page` on is as likely as any other."""
    return _words_in(random, random.integers(first_page, first_page + pages, count))


def by_zipf(random: np.random.Generator, pages: int, count: int) -> Words:
    """A few pages often, most of them seldom, by Zipf's law; the frequent ones lie scattered."""
    shares = np.cumsum(1.0 / np.arange(1, pages + 1) ** _ZIPF_EXPONENT)
    ranks = np.searchsorted(shares, random.random(count) * shares[-1])
    return _words_in(random, random.permutation(pages)[np.minimum(ranks, pages - 1)])


def _words_in(random: np.random.Generator, pages: Words) -> Words:
    return pages * WORDS_IN_PAGE + random.integers(0, WORDS_IN_PAGE, len(pages))
