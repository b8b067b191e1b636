"""The parsers of the guest's files, on short samples written from the formats."""

from __future__ import annotations

from lab.checks.guest_kernel import (
    Area,
    Hotplug,
    Message,
    Module,
    Symbol,
    boot_memory,
    capture_room,
    hotplug,
    log_text,
    parse_kallsyms,
    parse_kmsg,
    parse_modules,
    parse_vmallocinfo,
)
from lab.checks.guest_memory import (
    join,
    parse_buddyinfo,
    parse_iomem,
    parse_meminfo,
    parse_memory_blocks,
    parse_slabinfo,
    parse_zoneinfo,
    system_ram,
)

ZONEINFO = """\
Node 0, zone   Normal
  per-node stats
      nr_file_pages 35
      nr_slab_reclaimable 4
  pages free     900
        boost    0
        high     50
        spanned  2048
        present  1024
        managed  1000
        protection: (0, 0, 0)
      nr_free_pages 899
  pagesets
    cpu: 0
              count:    7
              high:     60
              batch:    10
  vm stats threshold: 6
    cpu: 1
              count: 9
              high:  61
              high_min: 5
              batch: 10
  vm stats threshold: 8
  node_unreclaimable:  0
  start_pfn:           16
Node 0, zone  Movable
  pages free     0
        spanned  0
        managed  0
Node 1, zone   Normal
  per-node stats
      nr_file_pages 0
  pages free     5
        managed  6
  pagesets
    cpu: 0
              count: 1
              high:  2
              batch: 1
  vm stats threshold: 2
  start_pfn:           4096
"""


def test_zoneinfo() -> None:
    normal, movable, far = parse_zoneinfo(ZONEINFO)
    assert (normal.node, normal.name, normal.start_pfn) == (0, "Normal", 16)
    assert normal.counts == {
        "free": 900,
        "boost": 0,
        "high": 50,
        "spanned": 2048,
        "present": 1024,
        "managed": 1000,
        "nr_free_pages": 899,
    }
    assert normal.per_node == {"nr_file_pages": 35, "nr_slab_reclaimable": 4}
    assert (normal.listed, normal.highs, normal.batches) == ([7, 9], [60, 61], [10, 10])
    assert normal.lag == 16
    assert (movable.name, movable.counts["managed"], movable.lag) == ("Movable", 0, 0)
    assert (far.node, far.counts["free"], far.start_pfn, far.lag) == (1, 5, 4096, 2)


def test_buddyinfo() -> None:
    text = "Node 0, zone   Normal      9     14      5 \nNode 1, zone  Movable      0   1  123 \n"
    assert parse_buddyinfo(text) == {(0, "Normal"): [9, 14, 5], (1, "Movable"): [0, 1, 123]}


def test_meminfo() -> None:
    text = "MemTotal:        2146396 kB\nActive(anon):      14200 kB\nHugePages_Total:       3\n"
    assert parse_meminfo(text) == {
        "MemTotal": 2146396,
        "Active(anon)": 14200,
        "HugePages_Total": 3,
    }


SLABINFO = """\
slabinfo - version: 2.1
# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
9p-fcall               7     12 131096    4    8 : tunables 0 0 0 : slabdata  3  3  0
kmalloc-8           1000   1024      8  512    1 : tunables 0 0 0 : slabdata  1  2  0
"""


def test_slabinfo() -> None:
    assert parse_slabinfo(SLABINFO) == {"9p-fcall": (8, 3), "kmalloc-8": (1, 2)}


IOMEM = """\
00000000-3fffffff : System RAM
  20000000-37ffffff : Crash kernel
40000000-4fffffff : System RAM
800000000-80fffffff : System RAM (memory)
200080000000-2000ffffffff : pci@800000020000000
"""


def test_iomem() -> None:
    assert parse_iomem(IOMEM)[1] == (0x20000000, 0x38000000, "Crash kernel", 1)
    assert parse_iomem(IOMEM)[4][2] == "pci@800000020000000"
    assert system_ram(IOMEM) == [(0, 0x50000000), (0x800000000, 0x810000000)]


def test_join() -> None:
    assert join([(5, 7), (0, 2), (2, 3), (6, 6), (9, 12), (10, 11)]) == [(0, 3), (5, 7), (9, 12)]
    assert join([]) == []


BLOCKS = """\
memory0 state=online index=00000000 zones=Normal removable=0 nodes=node0
memory128 state=offline index=00000080 zones=Normal Movable removable=1 nodes=node1
memory2 state=online index=00000002 zones=none removable=0 nodes=node0,node1
block_size_bytes 10000000
"""


def test_memory_blocks() -> None:
    low, mixed, far = parse_memory_blocks(BLOCKS)
    assert (low.start, low.end, low.online) == (0, 0x10000000, True)
    assert (low.zones, low.nodes) == (("Normal",), (0,))
    assert (mixed.start, mixed.zones, mixed.nodes) == (0x20000000, ("none",), (0, 1))
    assert (far.start, far.online) == (0x800000000, False)
    assert (far.zones, far.nodes) == (("Normal", "Movable"), (1,))


def test_kallsyms() -> None:
    text = (
        "c000000000000000 T _text\nc008000000790024 r _note_19\t[9p]\n0000000000000000 A x\n"
        "c00800000001000c t kprobe\t[__builtin__kprobes]\n"
    )
    assert parse_kallsyms(text) == [
        Symbol(0xC000000000000000, "T", "_text"),
        Symbol(0xC008000000790024, "r", "_note_19", "9p"),
        Symbol(0, "A", "x"),
        Symbol(0xC00800000001000C, "t", "kprobe", "__builtin__kprobes"),
    ]


def test_modules() -> None:
    text = "9p 90112 1 - Live 0xc0003d000023d000\nnetfs 581632 2 9p,9pnet, Live 0x0 (E)\n"
    assert parse_modules(text) == [
        Module("9p", 90112, 0xC0003D000023D000),
        Module("netfs", 581632, 0),
    ]


OPEN = """\
0xc008000000000000-0xc008000000020000  131072 text_area_cpu_up+0x2c/0x580
0xc008000000020000-0xc008000000040000  131072 f+0x28/0x80 pages=1 vmalloc N0=1
0xc00a000080000000-0xc00a000080020000  131072 g+0x88/0x160 phys=0x0000210000000000 ioremap
"""


def test_vmallocinfo() -> None:
    assert parse_vmallocinfo(OPEN) == [
        Area(0xC008000000000000, 0xC008000000020000, None, None),
        Area(0xC008000000020000, 0xC008000000040000, 1, None),
        Area(0xC00A000080000000, 0xC00A000080020000, None, 0x210000000000),
    ]
    hidden = "0x00000000b3b7effe-0x00000000df3800b8  131072 f+0x2c/0x580 pages=1 vmalloc\n"
    assert parse_vmallocinfo(hidden) == []


LOG = """\
[    0.000000] Early memory node ranges
[    0.000000]   node   0: [mem 0x0000000000000000-0x000000003fffffff]
[    0.000000]   node   1: [mem 0x0000000040000000-0x000000007fffffff]
[    0.000000] Initmem setup node 0 [mem 0x0000000000000000-0x000000003fffffff]
[    4.737183] pseries-hotplug-mem: Attempting to hot-add 1 LMB(s) at index 80000008
[    4.767499][    T1] pseries-hotplug-mem: Memory at 80000000 (drc index 80000008) was hot-added
[    9.767786] pseries-hotplug-mem: Memory at 80000000 (drc index 80000008) was hot-removed
"""


def test_what_a_log_tells() -> None:
    assert boot_memory(LOG) == [(0, 0, 0x40000000), (1, 0x40000000, 0x80000000)]
    assert hotplug(LOG) == [Hotplug("add", 0x80000000), Hotplug("remove", 0x80000000)]
    assert capture_room(LOG) is None
    old = "[ 0.0] Reserving 384MB of memory at 512MB for crashkernel (System RAM: 1024MB)"
    new = "[ 0.0] crashkernel reserved: 0x0000000020000000 - 0x0000000038000000 (384 MB)"
    assert capture_room(old) == capture_room(new) == (0x20000000, 0x38000000)
    assert log_text("[    4.5][    T1] x [y] z") == "x [y] z"
    assert log_text("no time") == "no time"


def test_kmsg() -> None:
    text = "6,7,1500,-;plain\n SUBSYSTEM=pci\n13,8,1600,-;esc \\x1b \\xff\n"
    assert parse_kmsg(text) == [
        Message(7, 1500, 6, 0, b"plain"),
        Message(8, 1600, 5, 1, b"esc \x1b \xff"),
    ]
