"""`Pager`: memory that is larger than RAM, handed out as plain numpy arrays.

Cold pages are compressed and, when the compressed pool is full, its coldest page frames are evicted to a swap
file. The idea is that of the Linux RFC "frontswap unuse for zcache" (2012) with zswap and zsmalloc, brought
to user space.
"""

from __future__ import annotations

import math
import operator
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, SupportsIndex, TypeAlias, get_args

import numpy as np

from zpager._core import Allocation, Engine
from zpager.errors import (
    ClosedError,
    ConfigurationError,
    LiveArraysWarning,
    SwapDirectoryWarning,
)
from zpager.options import (
    DEFAULT_CODEC,
    DEFAULT_EVICTION,
    DEFAULT_FAULTS,
    DEFAULT_IO,
    DEFAULT_POLICY,
    DEFAULT_POOL,
    LARGEST_READAHEAD_PAGES,
    Codec,
    Eviction,
    Faults,
    Io,
    Options,
    Policy,
    Pool,
    is_whole,
    require_switch,
    size_argument,
    with_bytes,
)
from zpager.sizes import PAGE_BYTES, Size, format_size
from zpager.stats import Stats
from zpager.swap_directory import doubt_about

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

Order: TypeAlias = Literal["C", "F"]
Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]

_LARGEST_SHUFFLED_ITEM_BYTES = 64
_TEXT = 65  # the core's name, in an item size's place, for code points of 4 bytes
_LARGEST_ARRAY_BYTES = (1 << 63) - 1
_DTYPE_TEXT_LENGTH = 60
_ARRAYS_IN_WARNING = 10


class Pager:
    """A budget of RAM with a compressed pool and a swap file behind it; hands out arrays larger than RAM.

    >>> with zpager.Pager(ram="256MiB") as pager:           # doctest: +SKIP
    ...     table = pager.zeros((20_000, 10_000), dtype="f4")  # a plain numpy.ndarray
    ...     table[7] = 1
    ...     print(pager.stats)

    Sizes are given as in `zpager.parse_size`: `"256MiB"`, `"1GB"`, `"25%"` (of the RAM that this process can
    have), or bytes.

    - `ram`: all that the pager may use of RAM: pages in use, pool, reserve, and its own tables.
    - `swap`: the size of the swap file, which is reserved at once. Default: four times `ram`, though at most
      half of the room that is free in the swap directory.
    - `codec`: `"lz4"` (fast) or `"zstd"` (smaller).
    - `pool`: how compressed pages are packed. `"zsmalloc"`: by size classes over several frames, dense;
      `"zbud"`: two a frame, simple.
    - `policy`: which frames of the pool are the coldest. `"frame-lru"`: those that got or served a page the
      longest ago; `"second-chance"`: the oldest ones most of whose pages were not wanted (zswap's LRU);
      `"sieve"` and `"s3-fifo"`: FIFO queues that sift out early what is wanted once; `"frame-aware"`: of the
      least recently used few those that free the most memory for their pages.
    - `pool_limit`: how large the pool may grow; `"auto"` moves the border between resident pages
      and pool to where the next page frame saves more time; a per cent is a share of `ram`.
    - `reserve`: how much of `ram` is kept for making room. Default: as little as lets eviction always go on.
    - `eviction`: how a full pool makes room. `"intact"`: its coldest frames go to the swap file as they are,
      compressed; `"writeback"`: their pages are decompressed and written at once, as by zswap; `"unuse"`:
      they are decompressed into the swap cache and written from there, as in the RFC; `"none"`: not at all,
      newer pages go to the swap file, as in zcache before the RFC. For comparison.
    - `faults`: how faults are served. `"signal"`: by the thread that touches a page; for system calls into
      evicted pages the first pager wraps the C library's functions in all loaded libraries. `"thread"`: by a
      thread of the pager's, slower, but also for what cannot be wrapped (io_uring, and system calls made
      without the C library). `"auto"`: the first that works.
    - `swap_dir`: a directory on a disk. Default: `$ZPAGER_SWAP_DIR`, else `/var/tmp` or the next best.
      A link of another user's is refused.
    - `encrypt`: whether the swap file is encrypted, with a key that never leaves RAM.
    - `shuffle`: reorder the bits of numbers, by the dtype, before compression, on pages that it suits; about
      triples the ratio of integers (the idea of Bitshuffle, Blosc and HDF5's shuffle filter).
    - `readahead_pages`: how many pages a sequential fault brings at once; 0 (off) to 32.
    - `io`: how the swap file is accessed: `"io_uring"`, `"threads"`, or `"auto"`: the first that works.

    All methods may be called from any thread. After `fork` a pager belongs to the parent alone: in the child
    its methods raise ClosedError, and touching its arrays ends the child.

    Raises ConfigurationError for a bad argument, UserfaultfdUnavailable where the machine does not allow
    paging (see `zpager doctor`), and DeviceError if the swap file cannot be had. Warns SwapDirectoryWarning.
    """

    ram_bytes: Final[int]
    """The budget of RAM, in bytes."""
    swap_bytes: Final[int]
    """The size of the swap file, in bytes."""
    pool_limit_bytes: Final[int | None]
    """How large the compressed pool may grow, in bytes; None if it finds its own limit."""
    swap_directory: Final[str]
    """The directory of the swap file (which is unlinked, so it has no name)."""

    def __init__(
        self,
        *,
        ram: Size,
        swap: Size | None = None,
        codec: Codec = DEFAULT_CODEC,
        pool: Pool = DEFAULT_POOL,
        policy: Policy = DEFAULT_POLICY,
        eviction: Eviction = DEFAULT_EVICTION,
        faults: Faults = DEFAULT_FAULTS,
        pool_limit: Size | Literal["auto"] = "auto",
        reserve: Size | None = None,
        swap_dir: str | os.PathLike[str] | None = None,
        shuffle: bool = True,
        readahead_pages: int = LARGEST_READAHEAD_PAGES,
        encrypt: bool = True,
        io: Io = DEFAULT_IO,
    ) -> None:
        """Reserve the swap file and start the engine; see the class for the arguments."""
        options = Options.checked(
            ram=ram,
            swap=swap,
            codec=codec,
            pool=pool,
            policy=policy,
            eviction=eviction,
            faults=faults,
            pool_limit=pool_limit,
            reserve=reserve,
            swap_dir=swap_dir,
            readahead_pages=readahead_pages,
            encrypt=encrypt,
            io=io,
        )
        require_switch("shuffle", shuffle)
        doubt = doubt_about(options.swap_directory)
        if doubt:
            warnings.warn(f"{options.swap_directory} {doubt}", SwapDirectoryWarning, stacklevel=2)
        self.ram_bytes = options.ram_bytes
        self.swap_bytes = options.swap_bytes
        self.pool_limit_bytes = options.pool_limit_bytes
        self.swap_directory = options.swap_directory
        self._shuffle = shuffle
        self._closed = False
        self._process = os.getpid()
        self._engine = Engine(**asdict(options))
        self._choices = (
            f"codec={codec}, pool={pool}, policy={policy}, eviction={eviction}, "
            f"faults={self._engine.faults}, shuffle={shuffle}, readahead_pages={readahead_pages}, "
            f"encrypt={encrypt}, io={self._engine.io}"
        )

    # Arrays and buffers.

    def empty(self, shape: Shape, dtype: DTypeLike = float, order: Order = "C") -> NDArray[Any]:
        """A new array, as `numpy.empty` makes it; its contents are zeros all the same.

        It is a plain `numpy.ndarray`, and like every view of it keeps its memory alive, even beyond `close`.
        Nothing is taken from RAM before it is touched.

        Raises OutOfSwap if ram + swap cannot hold it, ClosedError after `close`, ConfigurationError for a
        dtype that holds Python objects: these live elsewhere, and only references to them would be paged.
        """
        self._require_usable()
        if order not in get_args(Order):
            raise ConfigurationError(f"order={order!r}: choose 'C' (rows together) or 'F' (columns together)")
        # numpy's own reading of a dtype, which turns "U" into "U1" and a subarray dtype into more dimensions.
        prototype = np.empty((0,), dtype)
        dtype = prototype.dtype
        if dtype.hasobject:
            raise ConfigurationError(
                f"dtype {_shortened(dtype)} holds references to Python objects, which live outside of the "
                "array and cannot be paged; use a dtype of fixed size such as 'f8', 'i4', 'S16', or a "
                "structured one of these"
            )
        dimensions = (*_dimensions(shape), *prototype.shape[1:])
        size_bytes = math.prod(dimensions) * dtype.itemsize
        if size_bytes == 0:
            return np.empty(dimensions, dtype, order)
        if size_bytes > _LARGEST_ARRAY_BYTES:
            raise ConfigurationError(
                f"shape {dimensions} of {_shortened(dtype)} is larger than any memory: 2^63 - 1 bytes"
            )
        label = f"array {dimensions} {_shortened(dtype)}"
        allocation = self._engine.allocate(size_bytes, _item_bytes(dtype) if self._shuffle else 1, label)
        return np.ndarray(dimensions, dtype, buffer=memoryview(allocation), order=order)

    def zeros(self, shape: Shape, dtype: DTypeLike = float, order: Order = "C") -> NDArray[Any]:
        """A new array of zeros, as `numpy.zeros` makes it; it costs nothing until touched. Errors as
        `empty`."""
        return self.empty(shape, dtype, order)  # fresh memory is zero

    def full(
        self, shape: Shape, fill_value: ArrayLike, dtype: DTypeLike | None = None, order: Order = "C"
    ) -> NDArray[Any]:
        """A new array filled with `fill_value`, as `numpy.full` makes it.

        The dtype is that of the value, if none is given. Errors as `empty`.
        """
        array = self.empty(shape, np.asarray(fill_value).dtype if dtype is None else dtype, order)
        array[...] = fill_value
        return array

    def array(self, existing: ArrayLike, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """A copy of `existing` in the pager's memory, converted to `dtype` if that is given.

        Shape and order stay. An array (a `numpy.memmap`, too) is copied straight across, without a second
        copy in RAM. Errors as `empty`; also PageLost, if `existing` is an array of this pager and a page of
        it is lost.
        """
        source = existing if isinstance(existing, np.ndarray) else np.asarray(existing, dtype)
        order: Order = "F" if source.flags.fnc else "C"
        copy = self.empty(source.shape, source.dtype if dtype is None else dtype, order)
        # In parts that RAM holds, so that each is still there when it is copied. A lost page would end the
        # process instead of raising.
        for part in _parts(source, self.ram_bytes // 4):
            self._fault_in(source[part])
            copy[part] = source[part]
        return copy

    def allocate(self, size: Size, *, item_bytes: int = 1) -> Allocation:
        """Zeroed memory with the buffer protocol, for everything that is no array.

        `memoryview(pager.allocate("1GiB"))` is writable bytes; `readinto`, torch and Arrow take it as it is.
        `item_bytes` (1 to 64) tells the width of the items in it, if it has such; the shuffle before
        compression uses it.

        Raises OutOfSwap if ram + swap cannot hold it, ClosedError after `close`, ConfigurationError for a bad
        argument.
        """
        self._require_usable()
        if not is_whole(item_bytes, 1, _LARGEST_SHUFFLED_ITEM_BYTES):
            raise ConfigurationError(
                f"item_bytes={item_bytes!r}: give a number of bytes from 1 to {_LARGEST_SHUFFLED_ITEM_BYTES}"
            )
        return self._engine.allocate(
            size_argument("size", size), item_bytes if self._shuffle else 1, "buffer"
        )

    # Bringing it in.

    def populate(self, array: object) -> None:
        """Bring the pages of an array in now, so that touching it later need not wait.

        `array` is an array of this pager, a part of one, or anything with the buffer protocol that lies in
        its memory. At most half of `ram` is filled, from the beginning of the array on: more would push out
        what was just brought in. Pages that were never written stay unmade.

        Raises PageLost for a page that is lost, OutOfSwap if no RAM can be freed, ConfigurationError if it is
        no memory of this pager, ClosedError after `close`.
        """
        self._require_usable()
        if not self._fault_in(array, size_max=self.ram_bytes // 2):
            raise _not_of_this_pager(array)

    def verify(self, array: object = None) -> None:
        """Read every page of an array, or of all that is alive; raise PageLost for the first that is lost.

        For a disk that is in doubt: a touch of a lost page would end the process, and this raises. `array` as
        for `populate`. Pages in RAM are right as they are; the others are read, which checks their checksums,
        and push out what was in RAM as any pass over the array does.

        Raises PageLost, whose message names the array, the byte offset and the cause; else as `populate`.
        """
        self._require_usable()
        if array is None:
            self._engine.fault_in_all()
        elif not self._fault_in(array):
            raise _not_of_this_pager(array)

    # What it holds and does.

    @property
    def stats(self) -> Stats:
        """All counters now, and where the pages are. Can be read after `close`, too."""
        self._require_own_process()
        return Stats(
            **self._engine.counters(),
            fault_us=tuple(self._engine.histogram("fault_us")),
            eviction_us=tuple(self._engine.histogram("eviction_us")),
            unuse_to_write_us=tuple(self._engine.histogram("unuse_to_write_us")),
        )

    @property
    def live(self) -> tuple[str, ...]:
        """What is alive of this pager's memory, oldest first: `"array (20000, 10000) float32, 762.9 MiB"`."""
        self._require_own_process()
        return tuple(f"{label}, {format_size(size_bytes)}" for label, size_bytes in self._engine.live())

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def reclaim(self, size: Size = "100%") -> int:
        """Push pages out of RAM's resident part now, not when RAM runs short; returns how many bytes went.

        `size` is how much at most; a per cent is a share of `ram`. For programs that know a pause is coming
        (the idea of the kernel's `memory.reclaim`). Raises ClosedError after `close`.
        """
        self._require_usable()
        pages = -(-size_argument("size", size, whole=self.ram_bytes) // PAGE_BYTES)
        return self._engine.reclaim(pages) * PAGE_BYTES

    # The end.

    def close(self) -> None:
        """Take no more requests and give everything back. The end of a `with` block does the same.

        Arrays that are still alive keep their memory, and LiveArraysWarning names them; the rest is given
        back when the last of them goes. Closing twice does nothing, and neither does closing in a forked
        child.
        """
        self._close()

    def __enter__(self) -> Self:
        """The pager itself."""
        self._require_usable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._close()

    def __repr__(self) -> str:
        """What was understood, every size in units and in bytes."""
        pool_limit = "auto" if self.pool_limit_bytes is None else with_bytes(self.pool_limit_bytes)
        return (
            f"<zpager.Pager ram={with_bytes(self.ram_bytes)}, swap={with_bytes(self.swap_bytes)} in "
            f"{self.swap_directory}, pool_limit={pool_limit}, {self._choices}, "
            f"{'closed' if self._closed else 'open'}>"
        )

    def _close(self) -> None:
        if self._closed or os.getpid() != self._process:
            return
        self._closed = True
        if self._engine.close():
            return
        live = self.live
        if not live:  # the last array went in between
            return
        shown = "; ".join(live[:_ARRAYS_IN_WARNING])
        more = f"; and {len(live) - _ARRAYS_IN_WARNING} more" if len(live) > _ARRAYS_IN_WARNING else ""
        warnings.warn(
            f"pager closed while {len(live)} of its arrays or buffers are alive: {shown}{more}. They stay "
            "valid and keep their memory until the last of them goes; del them, and views of them, first",
            LiveArraysWarning,
            stacklevel=3,  # the line that calls `close`, or the `with` statement
        )

    def _fault_in(self, array: object, size_max: int | None = None) -> bool:
        """Bring in at most that much of the memory of `array`; False if it is not of this pager."""
        start, size_bytes = _extent(array)
        if size_bytes == 0:
            return True
        return self._engine.fault_in(start, size_bytes if size_max is None else min(size_bytes, size_max))

    def _require_usable(self) -> None:
        self._require_own_process()
        if self._closed:
            raise ClosedError("this pager is closed; make a new zpager.Pager")

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise ClosedError(
                f"this pager belongs to process {self._process}, and this is a forked child of it "
                f"({os.getpid()}), which has none of its memory; make a new zpager.Pager here, or start "
                "workers by 'spawn' instead of 'fork'"
            )


def _not_of_this_pager(array: object) -> ConfigurationError:
    return ConfigurationError(
        f"this {type(array).__name__} does not lie in the memory of this pager; give an array that it made, "
        "or a part of one"
    )


def _extent(array: object) -> tuple[int, int]:
    """From which address on how many bytes an array or a buffer lies, gaps between its items included."""
    if not isinstance(array, np.ndarray):
        try:
            array = np.asarray(memoryview(array))  # type: ignore[arg-type]
        except (TypeError, ValueError, BufferError):
            raise ConfigurationError(
                f"a {type(array).__name__} is no memory; give an array, or an object with the buffer protocol"
            ) from None
    if array.size == 0:
        return 0, 0
    steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    before = sum(step for step in steps if step < 0)
    size_bytes = sum(abs(step) for step in steps) + array.itemsize
    return array.ctypes.data + before, size_bytes


def _parts(array: NDArray[Any], part_bytes: int) -> Iterator[EllipsisType | tuple[EllipsisType | slice, ...]]:
    """Indexes that divide an array along its longest step into parts of about that many bytes."""
    if array.nbytes <= part_bytes:
        yield ...
        return
    axis = max(range(array.ndim), key=lambda axis: abs(array.strides[axis]) * (array.shape[axis] > 1))
    length = array.shape[axis]
    count = max(1, length * part_bytes // array.nbytes)
    for start in range(0, length, count):
        yield (*[slice(None)] * axis, slice(start, start + count))


def _dimensions(shape: Shape) -> tuple[int, ...]:
    try:
        # Iterate only over what can be: numpy's integers have __index__, and so have its arrays of lengths.
        lengths = shape if isinstance(shape, Iterable) else (shape,)
        dimensions = tuple(operator.index(length) for length in lengths)
    except TypeError:
        raise ConfigurationError(f"shape={shape!r}: give a whole number or a sequence of such") from None
    if any(length < 0 for length in dimensions):
        raise ConfigurationError(f"shape={dimensions}: lengths cannot be negative")
    return dimensions


def _item_bytes(dtype: np.dtype[Any]) -> int:
    """What pages of this dtype are shuffled by: the width of its numbers, or `_TEXT`; 1 is no shuffle."""
    if dtype.kind == "c":
        width = dtype.itemsize // 2  # the real and the imaginary part are numbers of their own
    elif dtype.kind == "U":
        return _TEXT
    elif dtype.kind in "iufmMb" or dtype.names is not None:
        width = dtype.itemsize
    else:
        width = 1
    return width if width <= _LARGEST_SHUFFLED_ITEM_BYTES else 1


def _shortened(dtype: np.dtype[Any]) -> str:
    text = str(dtype)
    return text if len(text) <= _DTYPE_TEXT_LENGTH else text[: _DTYPE_TEXT_LENGTH - 1] + "…"
