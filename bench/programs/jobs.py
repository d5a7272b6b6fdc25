"""Python programs that know nothing of zpager: `python jobs.py NAME MIB` prints what came out.

MIB is about what the job has in RAM at its peak where nobody limits it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable


def pandas(mib: int) -> None:
    """Group, sort and join a table, and print a hash of all that."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    rows = ((mib - 120) << 20) // 128  # besides the interpreter and its modules
    draw = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "article": draw.zipf(1.3, rows) % 100_000,
            "shop": draw.integers(0, 500, rows),
            "price": np.round(draw.random(rows) * 1000, 2),
            "count": draw.integers(0, 50, rows),
            "day": np.arange(rows) // 1000,
        }
    )
    table["total"] = table["price"] * table["count"]
    by_shop = table.groupby("shop").agg({"total": ["sum", "mean", "max"], "count": "sum"})
    in_order = table.sort_values(["article", "price"], kind="stable")
    articles = pd.DataFrame({"article": np.arange(100_000), "weight": draw.random(100_000)})
    joined = table.merge(articles, on="article")
    digest = hashlib.sha256()
    for frame in by_shop, in_order, joined:
        print(len(frame), float(frame.iloc[:, -1].sum()))
        for name in frame.columns:
            digest.update(np.ascontiguousarray(frame[name].to_numpy()).data)
    print(digest.hexdigest())


def numpy(mib: int) -> None:
    """Blocks of a matrix product, a sort and a walk over arrays, and print a hash of all that."""
    import numpy as np  # noqa: PLC0415

    words = (mib << 20) // 32
    draw = np.random.default_rng(1)
    walk = np.cumsum(draw.integers(-3, 4, words))
    noise = draw.random(words)
    in_order = np.sort(noise)
    ranks = np.searchsorted(in_order[:: 1 << 10], noise[:: 1 << 4])
    side = 512
    squares = noise[: words // (side * side) * side * side].reshape(-1, side, side)
    product = np.zeros((side, side))
    for square in squares[:: max(1, len(squares) // 20)]:
        product += square @ squares[0]
    digest = hashlib.sha256()
    for array in walk, noise, in_order, ranks:
        digest.update(np.ascontiguousarray(array).data)
    print(float(walk.mean()), float(product.sum()).hex(), digest.hexdigest())


def objects(mib: int) -> None:
    """Many small objects, made and dropped, and print what is left."""
    kept: dict[int, tuple[str, list[int], dict[str, float]]] = {}
    count = (mib << 20) // 700
    total = 0
    for number in range(2 * count):
        place = number * 7919 % count
        old = kept.get(place)
        total += old[1][0] if old else 0
        kept[place] = (f"object {number}", [number, number + 1], {"price": number / 7})
    print(total, sum(price["price"] for _, _, price in kept.values()))


JOBS: dict[str, Callable[[int], None]] = {job.__name__: job for job in (pandas, numpy, objects)}


if __name__ == "__main__":
    JOBS[sys.argv[1]](int(sys.argv[2]))
