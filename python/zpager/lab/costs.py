"""What everything takes in the lab's virtual time: of a machine and its disk.

A named profile is a device beside the CPU on which zpager was developed; `zpager lab calibrate` measures
another machine and writes its costs as TOML.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Final, Self

from zpager.errors import ConfigurationError
from zpager.options import is_whole

LONGEST_NS: Final = 10**12
MOST_CPUS: Final = 1 << 16


def _require_time(name: str, value: object) -> None:
    if not is_whole(value, 0, LONGEST_NS):
        raise ConfigurationError(f"{name}={value!r}: give whole nanoseconds from 0 to {LONGEST_NS}")


@dataclass(frozen=True, kw_only=True)
class CodecCosts:
    """What a codec takes for a page, in nanoseconds, checksum and choice of form included."""

    compress_ns: int
    decompress_ns: int

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what is no time."""
        for item in fields(self):
            _require_time(item.name, getattr(self, item.name))


@dataclass(frozen=True, kw_only=True)
class Costs:
    """All of it; times are in nanoseconds."""

    cpus: int = 2
    access_ns: int = 100
    """An access to a page that is there, and what the program does until the next one beside what the trace
    says of that."""
    fault_ns: int = 2_500
    """A fault: the trap, its way to who serves it, and back."""
    wake_ns: int = 5_000
    """Until a sleeping thread runs that is woken: kswapd, in the background."""
    map_ns: int = 700
    """Each page that is mapped, or whose write protection is lifted."""
    unmap_call_ns: int = 1_500
    """Each call that unmaps pages or releases frames, for however many."""
    unmap_ns: int = 350
    """Each page of it."""
    move_ns: int = 700
    """Each page that is moved into the swap cache or back."""
    codecs: Mapping[str, CodecCosts] = field(
        default_factory=lambda: MappingProxyType(
            {
                "lz4": CodecCosts(compress_ns=2_800, decompress_ns=900),
                "zstd": CodecCosts(compress_ns=12_000, decompress_ns=4_000),
            }
        )
    )
    read_ns: int
    """A request to read, whatever its length."""
    write_ns: int
    """A request to write."""
    seek_ns: int = 0
    """Besides, for a request that does not begin where the last one ended."""
    transfer_ns: int
    """Each page of a request."""
    queue_depth: int
    """Requests that the device serves at the same time."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for costs that cannot be."""
        for item in fields(self):
            if item.name.endswith("_ns"):
                _require_time(item.name, getattr(self, item.name))
        for name in ("cpus", "queue_depth"):
            if not is_whole(getattr(self, name), 1, MOST_CPUS):
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: give a whole number from 1 on")
        object.__setattr__(self, "codecs", MappingProxyType(dict(self.codecs)))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a call: workers of a sweep get the costs so."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return _unpickle, (values | {"codecs": dict(self.codecs)},)

    def of_codec(self, codec: str) -> CodecCosts:
        """What this codec takes.

        Raises ConfigurationError if that is unknown.
        """
        try:
            return self.codecs[codec]
        except KeyError:
            known = ", ".join(self.codecs)
            raise ConfigurationError(f"costs of the codec {codec!r} are unknown, but of {known}") from None

    def of_engine(self, codec: str) -> dict[str, int]:
        """All costs by name, with those of this codec, as the engine takes them.

        Raises ConfigurationError if the codec's are unknown.
        """
        names = (item.name for item in fields(self) if item.name != "codecs")
        return {name: getattr(self, name) for name in names} | asdict(self.of_codec(codec))

    def to_toml(self) -> str:
        """As text that `read` takes."""
        lines = [
            f"{item.name} = {getattr(self, item.name)}" for item in fields(self) if item.name != "codecs"
        ]
        for name, codec in self.codecs.items():
            lines += [
                "",
                f"[codecs.{name}]",
                *(f"{i.name} = {getattr(codec, i.name)}" for i in fields(codec)),
            ]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `zpager lab calibrate` wrote.

        Raises ConfigurationError for what is no such file, OSError where it cannot be read.
        """
        with open(path, "rb") as file:
            try:
                values = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise ConfigurationError(f"{path} holds no costs: {error}") from None
        try:
            codecs = {name: CodecCosts(**codec) for name, codec in values.pop("codecs").items()}
            return cls(**values, codecs=codecs)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} holds no costs as `zpager lab calibrate` writes them: {error}"
            ) from None


PROFILES: Final[Mapping[str, Costs]] = MappingProxyType(
    {
        "nvme": Costs(read_ns=80_000, write_ns=25_000, transfer_ns=1_400, queue_depth=32),
        "sata-ssd": Costs(read_ns=110_000, write_ns=70_000, transfer_ns=7_500, queue_depth=8),
        "disk": Costs(
            read_ns=100_000, write_ns=100_000, seek_ns=8_000_000, transfer_ns=22_000, queue_depth=1
        ),
        "network": Costs(read_ns=600_000, write_ns=700_000, transfer_ns=33_000, queue_depth=16),
    }
)
"""By name: a datacentre NVMe disk (12,000 random reads a second by one thread, 2.9 GB/s), a SATA SSD (550
MB/s), a disk of 7200 rounds a minute (a seek and half a round is 8 ms; 186 MB/s), and a volume over a network
of one gigabit (half a millisecond; 125 MB/s)."""


def costs(name: str) -> Costs:
    """A profile by its name, or the costs in a TOML file if it is the path of one.

    Raises ConfigurationError for what is neither.
    """
    if name in PROFILES:
        return PROFILES[name]
    if name.endswith(".toml"):
        return Costs.read(name)
    raise ConfigurationError(
        f"costs={name!r}: give one of {', '.join(PROFILES)}, or a .toml file of `zpager lab calibrate`"
    )


def _unpickle(values: dict[str, object]) -> Costs:
    return Costs(**values)  # type: ignore[arg-type]
