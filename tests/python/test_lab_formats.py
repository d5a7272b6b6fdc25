"""Traces in formats of others, in files that are made here, and in some that the tools themselves make."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zpager import ConfigurationError
from zpager.lab import trace as own
from zpager.lab.formats import guess_format, lackey, open_trace, source
from zpager.lab.formats.collector import NO_WRITES, Collector, spread_over_pages
from zpager.lab.formats.page_numbers import PageNumbers
from zpager.lab.think_times import CUT_SHORT
from zpager.lab.trace import Trace


def written(path: Path, contents: str | bytes) -> Path:
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


def pages(trace: Trace) -> list[list[int]]:
    return [thread.page.tolist() for thread in trace.threads]


def test_page_numbers_are_dense_and_in_the_order_in_which_keys_come() -> None:
    numbers = PageNumbers()
    known: dict[int, int] = {}
    random = np.random.default_rng(7)
    for size in (0, 1, 5, 1000, 3, 4000, 1, 1):
        keys = random.integers(0, 2**64, size, np.uint64) % np.uint64(1500) * np.uint64(2**53 + 1)
        expected = [known.setdefault(int(key), len(known)) for key in keys]
        assert numbers.of(keys).tolist() == expected
    assert numbers.count == len(known)


@settings(deadline=None)  # a busy machine
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 20_000))))
def test_ranges_are_spread_over_the_pages_that_they_reach(ranges: list[tuple[int, int]]) -> None:
    ranges = [(start, size) for start, size in ranges if start + max(size, 1) <= 2**64]
    start, size = (np.array([one[at] for one in ranges], np.uint64) for at in (0, 1))
    found, of_range = spread_over_pages(start, size)
    expected = [
        (page, number)
        for number, (start, size) in enumerate(ranges)
        for page in range(start >> 12, (start + max(size, 1) - 1 >> 12) + 1)
    ]
    assert found.tolist() == [page for page, _ in expected]
    assert (list(range(len(ranges))) if of_range is None else of_range.tolist()) == [n for _, n in expected]


def test_a_range_beyond_the_end_of_memory_is_refused() -> None:
    with pytest.raises(OverflowError, match="0xffffffffffffffff"):
        spread_over_pages(np.array([2**64 - 1], np.uint64), np.array([2], np.uint64))


def test_moments_become_times_to_think() -> None:
    collector = Collector()
    assert collector.think_ns("a", np.array([1000, 1005, 1003], np.int64)).tolist() == [0, 5, 0]
    assert collector.think_ns("b", np.array([1004], np.int64)).tolist() == [4]
    assert not collector.think_times.are_cut_short
    assert collector.think_ns("a", np.array([1006, 10**10], np.int64)).tolist() == [1, 2**32 - 1]
    assert collector.think_times.are_cut_short


# libCacheSim

REQUESTS = [(7, 100, 512), (7, 2**64 - 1, 1), (7, 100, 0), (9, 3, 10_000), (9, 100, 1), (20, 4, 1)]


def oracle_general(requests: list[tuple[int, int, int]]) -> bytes:
    return b"".join(struct.pack("<IQIq", *request, -1) for request in requests)


@pytest.mark.parametrize("compression", [None, "zstd", "gzip"])
def test_oracle_general(tmp_path: Path, compression: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 60)  # two records, and a bit
    contents = oracle_general(REQUESTS)
    if compression:
        contents = (
            pa.compress(contents, compression, asbytes=True)
            if compression != "gzip"
            else gzip.compress(contents)
        )
    trace = open_trace(written(tmp_path / "t.oracleGeneral.bin.zst", contents))
    assert pages(trace) == [[0, 1, 0, 2, 0, 3]]
    # Three requests in second 7, two in 9, and one in 20, which is too long to think.
    third, half = 333_333_333, 500_000_000
    assert trace.threads[0].think_ns.tolist() == [0, third, third, 2_000_000_000 - 2 * third, half, 2**32 - 1]
    assert not trace.threads[0].is_write.any()
    assert "key-value" in trace.lacks[0]
    assert trace.lacks[-2:] == (NO_WRITES, CUT_SHORT)


@settings(deadline=None)  # a busy machine
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)), min_size=1
    )
)
def test_any_requests_of_oracle_general(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int, int]]
) -> None:
    path = written(tmp_path_factory.getbasetemp() / "any.oracleGeneral", oracle_general(requests))
    trace = open_trace(path)
    known: dict[int, int] = {}
    assert pages(trace) == [[known.setdefault(key, len(known)) for _, key, _ in requests]]
    seconds = sorted(time for time, _, _ in requests)
    if seconds == [time for time, _, _ in requests]:
        assert int(trace.threads[0].think_ns.sum(dtype=np.uint64)) <= (seconds[-1] - seconds[0] + 1) * 10**9


def test_several_frames_of_zstd_are_one_file(tmp_path: Path) -> None:
    contents = b"".join(pa.compress(oracle_general([one]), "zstd", asbytes=True) for one in REQUESTS)
    assert open_trace(written(tmp_path / "t.oracleGeneral.zst", contents)).access_count == len(REQUESTS)


def test_blocks_are_as_many_pages_as_they_reach(tmp_path: Path) -> None:
    requests = [(1, 7, 1024), (1, 8, 512), (2, 0, 8192)]
    trace = open_trace(written(tmp_path / "t.oracleGeneral", oracle_general(requests)), block_bytes=512)
    assert pages(trace) == [[0, 1, 1, 0, 1]]
    assert trace.threads[0].think_ns.tolist() == [0, *[333_333_333] * 2, 333_333_334, 500_000_000]
    assert "requests to a disk" in trace.lacks[0]
    with pytest.raises(ConfigurationError, match="block_bytes=0: give the bytes of a block"):
        open_trace(tmp_path / "t.oracleGeneral", block_bytes=0)


@pytest.mark.parametrize(
    ("contents", "more", "message"),
    [
        (oracle_general(REQUESTS)[:-3], {}, "record 6 has 21 bytes, not 24"),
        (b"", {}, "there is not one access in it"),
        (
            oracle_general(REQUESTS),
            {"block_bytes": 512},
            "block 18446744073709551615 of 512 bytes lies beyond",
        ),
        (pa.compress(bytes(9999), "zstd", asbytes=True)[:-3], {}, "damaged|bytes, not 24|cut off"),
        (b"\x28\xb5\x2f\xfd" + bytes(range(99)), {}, "is damaged"),
    ],
)
def test_damaged_files_of_oracle_general(
    tmp_path: Path, contents: bytes, more: dict[str, int], message: str
) -> None:
    path = written(tmp_path / "t.oracleGeneral", contents)
    with pytest.raises(ConfigurationError, match=rf"t\.oracleGeneral.*({message})"):
        open_trace(path, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (
            "# time, object, size, next\n1, 10, 5, -1\n1, 18446744073709551615, 5, 7\n2, 10, 5, 8\n",
            "",
        ),
        ("time,obj_id\n1,10\n1,11\n2,10\n", ""),
        ("1,10,5\n1,11,5\n2,10,5", ""),
        ("5;a b;1\n5;c;1\n6;a b;2\n", "time-col=3, obj-id-col=2, delimiter=;"),
        ("key\tts\nx\t1\ny\t1\nx\t2\n", ""),
        ("who,what,when\nx,10,1\nx,11,1\nx,10,2\n", "obj-id-col=2,time-col=3,has-header=true"),
        ("10,1\n11,1\n10,2\n", "obj-id-col=1,time-col=2,obj-id-is-num=false"),
        ("10\n11\n10\n", "obj-id-col=1"),
    ],
)
def test_csv(tmp_path: Path, text: str, columns: str) -> None:
    trace = open_trace(written(tmp_path / "t.csv", text), columns=columns)
    assert pages(trace) == [[0, 1, 0]]
    if "1\n11\n" not in text:
        assert trace.threads[0].think_ns.tolist() in ([0, 500_000_000, 500_000_000], [0, 0, 0])
    assert any("key-value" in lack for lack in trace.lacks)


def test_csv_of_blocks_with_operations(tmp_path: Path) -> None:
    text = "version,time,op,size,lbn\n1,5633,2a,512,42932745\n1,5633,28,512,42932746\n1,5634,88,5000,0\n"
    trace = open_trace(written(tmp_path / "t.csv.gz", gzip.compress(text.encode())))
    assert pages(trace) == [[0, 0, 1, 2]]
    assert trace.threads[0].is_write.tolist() == [True, False, False, False]
    assert NO_WRITES not in trace.lacks
    trace = open_trace(tmp_path / "t.csv.gz", columns="op-col=0")
    assert not trace.threads[0].is_write.any()
    assert NO_WRITES in trace.lacks


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n", "", "nothing tells which column is what.*first line is 'a,b'"),
        ("1,2,3\n", "time-col=x", "'time-col=x' is none of time-col"),
        ("1,2\n", "time-col=1", "say which column has the objects"),
        ("1,2\n", "obj-id-col=5", "a line has 2 columns, and column 5 is asked for"),
        ("time,object\n1,2\n1,x\n", "", "Row #3: CSV conversion error to uint64: invalid value 'x'"),
        ("time,object\n1,2\n1,3,4\n", "", "Row #3: Expected 2 columns, got 3"),
        ("time,object\n-1,2\n", "", "column 1 has times that are no seconds"),
        ("time,object,op\n1,2,fly\n", "", "column 3 has 'fly' as operation"),
        ("", "", "is empty"),
        ("time,object\n", "", "not one access"),
    ],
)
def test_csv_that_is_wrong(tmp_path: Path, text: str, columns: str, message: str) -> None:
    path = written(tmp_path / "t.csv", text)
    with pytest.raises(ConfigurationError, match=f"{message}"):
        open_trace(path, columns=columns)


# lackey

LACKEY = """==12== Lackey, an example Valgrind tool
==12== Command: ./a
==12==
I  0401ab70,3
I  0401ab73,5
 S 1fff000768,8
I  0401b770,1
 L 1fff000760,8
 M ffffffffffffff80,32
I  0401b771,7
 L 04000ffe,4
 L 10,1
==12== Exit code:       0
"""


@pytest.mark.parametrize("batch_bytes", [60, 100, 1 << 20])
def test_lackey(tmp_path: Path, batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", batch_bytes)
    path = written(tmp_path / "t", LACKEY)
    trace = open_trace(path)
    assert pages(trace) == [[0, 1, 2, 3, 4]]
    assert trace.threads[0].is_write.tolist() == [True, True, False, False, False]
    assert trace.threads[0].think_ns.tolist() == [0, 1, 1, 0, 0]
    assert lackey.NO_INSTRUCTIONS in trace.lacks
    with_fetches = lackey.read(path, instruction_fetches=True)
    assert pages(with_fetches) == [[0, 1, 2, 1, 3, 2, 4, 5, 6]]


ACCESSES = st.lists(
    st.tuples(st.sampled_from("LSMI"), st.integers(0, 2**64 - 1), st.integers(1, 999)),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)  # a busy machine
@given(ACCESSES, st.integers(30, 200))
def test_lackeys_lines_are_read_as_by_a_plain_reading(
    accesses: list[tuple[str, int, int]], batch_bytes: int
) -> None:
    accesses = [(kind, address, size) for kind, address, size in accesses if address + size <= 2**64]
    text = "".join(
        f"{'I ' if kind == 'I' else ' ' + kind} {address:08x},{size}\n" for kind, address, size in accesses
    )
    expected: list[list[int]] = []
    executed = 0
    for kind, address, size in accesses:
        executed += kind == "I"
        for page in range(address >> 12, (address + size - 1 >> 12) + 1) if kind != "I" else ():
            if not expected or expected[-1][0] != page:
                expected.append([page, False, executed])
            expected[-1][1] |= kind in "SM"
    parser = lackey.Parser()
    found = []
    lines = text.splitlines(keepends=True)
    for start in range(0, len(lines), batch_bytes // 30):
        found.append(parser.parse("".join(lines[start : start + batch_bytes // 30]).encode()))
    found.append(parser.finish())
    assert [
        list(one) for part in found for one in zip(*(array.tolist() for array in part), strict=True)
    ] == expected
    assert parser.accesses == sum(
        len(range(a >> 12, (a + s - 1 >> 12) + 1)) >= 1 for k, a, s in accesses if k != "I"
    )


@pytest.mark.parametrize(
    "line",
    [
        " X 1ffeffe7e8,8",
        " L 1ffeffe7g8,8",
        " L ,8",
        " L 1ffeffe7e8",
        " L 1ffeffe7e8,",
        " L 1ffeffe7e8,12345",
        " L 1ffeffe7e8,1a",
        " L 11ffeffe7e8123456,8",
        " L1ffeffe7e8,8",
        "hello",
        "I",
    ],
)
def test_a_line_that_is_not_lackeys_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "t", LACKEY + line + "\n" + LACKEY)
    with pytest.raises(ConfigurationError, match=r"/t: line 14 is neither .*" + line.strip()):
        open_trace(path, "lackey")


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
def test_what_valgrind_itself_writes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={path}", "/bin/true"]
    subprocess.run(command, check=True)
    assert guess_format(path) == "lackey"
    trace = open_trace(path)
    plain: list[int] = []
    for line in path.read_text().splitlines():
        if line[:2] in {" L", " S", " M"}:
            address, size = line[3:].split(",")
            for page in range(int(address, 16) >> 12, (int(address, 16) + int(size) - 1 >> 12) + 1):
                if plain[-1:] != [page]:
                    plain.append(page)
    known: dict[int, int] = {}
    assert pages(trace) == [[known.setdefault(page, len(known)) for page in plain]]
    assert 50 < trace.page_count < 5000


# perf script

PERF = """# ========
# captured on: some day
# ========
#
         python3 17675 50911.610091: page-faults:     560b8c94b424
      tmux: serv 17676 50911.610117: page-faults:     7fc6dbcd9110
         python3 17675/17677 50911.610129123:  1 mem-stores:u:     560b8c94b000 ffffffff81b73418 f+0x28 (x)
 stress 12 [000] 50911.710091: exceptions:page_fault_user: address=0x560b8c94c7e8 ip=0x560b8c error_code=0x6
\tffffffff81b73418 _copy_to_user+0x28 ([kernel.kallsyms])
\t    560b8c94b424 main+0x1 (/bin/x)

         python3 17675 50911.610092: page-faults:     7fc6dbcd9fff
"""


def test_perf_script(tmp_path: Path) -> None:
    trace = open_trace(written(tmp_path / "t", PERF))
    assert [thread.name for thread in trace.threads] == [
        "python3 17675",
        "tmux: serv 17676",
        "python3 17677",
        "stress 12",
    ]
    assert pages(trace) == [[0, 1], [1], [0], [2]]
    assert [thread.think_ns.tolist() for thread in trace.threads] == [
        [0, 1000],
        [26_000],
        [38_123],
        [100_000_000],
    ]
    assert [thread.is_write.tolist() for thread in trace.threads] == [[False, False], [False], [True], [True]]
    assert NO_WRITES in trace.lacks
    only_faults = "".join(line for line in PERF.splitlines(keepends=True) if "page_fault_user" in line)
    assert NO_WRITES not in open_trace(written(tmp_path / "t", only_faults)).lacks


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "python3 1 5.61: 1 page-faults:  ffffffff81752b6a elf_load+0x28a ([kernel.kallsyms])",
            "line 13: a sample without the address of its data; record with `perf record -d`",
        ),
        ("dd 1 5.61: page-faults: ", "line 13: a sample without the address"),
        ("nonsense", "line 13 is none of perf script's .*'nonsense'"),
    ],
)
@pytest.mark.parametrize("after", ["", PERF])
def test_lines_of_perf_script_that_are_wrong(tmp_path: Path, line: str, message: str, after: str) -> None:
    path = written(tmp_path / "t", PERF + line + "\n" + after)
    with pytest.raises(ConfigurationError, match=message):
        open_trace(path, "perf-script")


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
def test_what_perf_itself_writes(tmp_path: Path) -> None:
    data = tmp_path / "perf.data"
    recorded = subprocess.run(
        ["perf", "record", "-q", "-d", "-e", "page-faults", "-c", "1", "-o", data, "/bin/true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if recorded.returncode != 0:
        pytest.skip(f"perf may not record here: {recorded.stderr.strip()[:200]}")
    for fields in ("comm,tid,time,event,addr", "comm,pid,tid,time,period,event,addr,ip,sym"):
        command = ["perf", "script", "-i", str(data), "-F", fields]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        trace = open_trace(written(tmp_path / "script", text))
        assert trace.access_count == text.count("page-faults")
        assert trace.access_count >= trace.page_count > 20
    text = subprocess.run(
        ["perf", "script", "-i", str(data)], capture_output=True, text=True, check=True
    ).stdout
    with pytest.raises(ConfigurationError, match="a sample without the address"):
        open_trace(written(tmp_path / "script", text))


# damo

RECORDS = [
    {
        "target_id": 3,
        "snapshots": [
            {
                "start_time": "100",
                "end_time": "1100",
                "regions": [
                    {"start": "4096", "end": "12288", "nr_accesses": {"samples": 2, "percent": None}},
                    {"start": "12288", "end": "20480", "nr_accesses": {"samples": 0, "percent": None}},
                ],
            },
            {
                "start_time": "1100",
                "end_time": "2,100",
                "regions": [
                    {"start": 16384, "end": 20480, "nr_accesses": {"samples": None, "percent": 10.5}}
                ],
            },
        ],
    }
]
DAMON_EVENTS = """kd 4 [000] 0.000001100: damon:damon_aggregated: target_id=3 nr_regions=2 4096-12288: 2 5
kd 4 [000] 0.000001100: damon:damon_aggregated: target_id=3 nr_regions=2 12288-20480: 0 3
kd 4 [000] 0.000001500: damon:damon_monitor_intervals_tune: sample_us=80000
kd 4 [000] 0.000002100: damon:damon_aggregated: target_id=3 nr_regions=1 16384-20480: 1
"""
DAMON_RAW = """base_time_absolute: 100 ns
data source: unknown

monitoring_start:                0 ns
monitoring_end:              1.000 us
monitoring_duration:         1.000 us
target_id: 3
nr_regions: 2
# start_addr     end_addr        length  nr_accesses   age
000000001000-000000003000 (   8.000 KiB)           2     5
000000003000-000000005000 (   8.000 KiB)           0     3

monitoring_start:         1.000 us
monitoring_end:           2.000 us
monitoring_duration:      1.000 us
target_id: 3
nr_regions: 1
# start_addr     end_addr        length  nr_accesses   age
000000004000-000000005000 (   4.000 KiB)           1    -1

"""


@pytest.mark.parametrize(
    "contents",
    [
        json.dumps(RECORDS, indent=4),
        zlib.compress(json.dumps(RECORDS).encode()),
        DAMON_EVENTS,
        DAMON_RAW,
    ],
    ids=["json", "json_compressed", "perf_script", "raw"],
)
def test_damo(tmp_path: Path, contents: str | bytes) -> None:
    trace = open_trace(written(tmp_path / "damon.data", contents))
    assert trace.source.startswith("damo: ")
    assert [thread.name for thread in trace.threads] == ["target 3"]
    assert pages(trace) == [[0, 1, 2]]
    assert trace.threads[0].think_ns.tolist() == [0, 0, 1000]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"PERFILE2" + bytes(50), "is a perf_data file; what `perf script -i"),
        (DAMON_RAW + "what is this?\n", "line 21 is none of damo's: 'what is this"),
        (json.dumps([{"target_id": 1}]), "no record of damo's in JSON: KeyError"),
        (zlib.compress(b"[" * 100)[:-9], "no record of damo's in JSON"),
        (DAMON_RAW.replace("000000001000-", "000000009000-"), "a region from 0x9000 to 0x3000"),
        (DAMON_RAW.replace("1.000 us", "soon"), "line 5 is none of damo's"),
    ],
)
def test_records_of_damo_that_are_wrong(tmp_path: Path, contents: str | bytes, message: str) -> None:
    path = written(tmp_path / "damon.data", contents)
    with pytest.raises(ConfigurationError, match=message):
        open_trace(path, "damo")


# All of them


def test_a_trace_of_ones_own_is_opened_as_such(tmp_path: Path) -> None:
    trace = open_trace(written(tmp_path / "t", LACKEY))
    own.write(trace, tmp_path / "trace.parquet")
    assert pages(open_trace(tmp_path / "trace.parquet")) == pages(trace)


def test_what_cannot_be_guessed_or_makes_no_sense_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "t", "something else\n")
    with pytest.raises(ConfigurationError, match="neither its name nor its first bytes tell.*oracleGeneral"):
        open_trace(path)
    with pytest.raises(ConfigurationError, match="format='x': choose one of zpager"):
        open_trace(path, "x")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="columns= is for csv, and the file is read as lackey"):
        open_trace(path, "lackey", columns="obj-id-col=1")
    with pytest.raises(ConfigurationError, match="block_bytes= is for csv and oracleGeneral"):
        open_trace(path, "damo", block_bytes=512)
    with pytest.raises(FileNotFoundError):
        open_trace(tmp_path / "nowhere")
