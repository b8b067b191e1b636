"""What is known of a simulated dump because the model made it: the answers to compare tools with.

Counted from the allocators, not from the dump's bytes, and not with any reader's code.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.simulate import eras
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.kernel import SECTION_BYTES, Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import phys_of
from vmemmap.simulate.mm.backing_list import NODE_BYTES
from vmemmap.simulate.mm.usage import Use


@dataclass(frozen=True, slots=True)
class ListAnswers:
    """The list at the crash.

    Attributes:
        entries: How many nodes are linked.
        node_pages: Pages that nodes were cut from.
        never_used: Slots of those pages that were never handed out.
        freed: Nodes that wait on the free stack.
        waste_bytes: Bytes of those pages that hold no linked node.
        no_node: Blocks that are mapped but not in the list, by virtual address.
        no_mapping: Blocks that are in the list but not mapped.
    """

    entries: int
    node_pages: int
    never_used: int
    freed: int
    waste_bytes: int
    no_node: tuple[int, ...]
    no_mapping: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PageAnswers:
    """Pages of the memory that the dump covers, by what they are used for.

    *kernel* is all that is in use and none of the others: reserved at boot, tables, blocks.
    """

    total: int
    free: int
    cache: int
    cache_private: int
    anonymous: int
    slab: int
    huge: int
    hwpoison: int
    offline: int
    kernel: int


def list_answers(machine: CrashedMachine) -> ListAnswers:
    """Count the list."""
    nodes = [entry.node for entry in machine.walk()]
    memory, page = machine.memory, machine.kernel.page_size
    freed = memory.load_u32(image_of(memory).phys["num_freed"])
    left = memory.load_u32(image_of(memory).phys["num_left"])
    # The pages are those of the linked nodes, of the freed ones, and of where fresh ones go on.
    following, stack = memory.load_u64(image_of(memory).phys["next"]), []
    for _ in range(freed):
        stack.append(following)
        following = memory.load_u64(phys_of(following))
    if left:
        stack.append(following)
    pages = {node // page for node in nodes + stack}
    return ListAnswers(
        entries=len(nodes),
        node_pages=len(pages),
        never_used=left,
        freed=freed,
        waste_bytes=len(pages) * page - len(nodes) * NODE_BYTES,
        no_node=tuple(machine.vmemmap.losses.no_node),
        no_mapping=tuple(machine.vmemmap.losses.no_mapping),
    )


def page_answers(snapshot: Snapshot) -> PageAnswers:
    """Count the pages of the memory that the dump covers and that has struct pages."""
    shift = snapshot.machine.kernel.page_shift
    ranges = [(start >> shift, end >> shift) for start, end in snapshot.ranges]

    def inside(pairs: list[tuple[int, int]]) -> int:
        return sum(
            max(0, min(end, high) - max(start, low)) for start, end in pairs for low, high in ranges
        )

    owners = snapshot.owners
    total = inside([(low, high) for home in owners.homes.values() for low, high in home.tolist()])
    free = inside([(low, high) for low, high in owners.free.tolist()])
    used = {
        use: inside([(run.start, run.end) for run in owners.runs if run.use is use]) for use in Use
    }
    named = [use for use in Use if use is not Use.VMALLOC]
    return PageAnswers(
        total=total,
        free=free,
        cache=used[Use.CACHE],
        cache_private=used[Use.CACHE_PRIVATE],
        anonymous=used[Use.ANONYMOUS],
        slab=used[Use.SLAB],
        huge=used[Use.HUGE],
        hwpoison=used[Use.HWPOISON],
        offline=used[Use.OFFLINE],
        kernel=total - free - sum(used[use] for use in named),
    )


def makedumpfile_class(kernel: Kernel, use: str) -> str | None:
    """Give the class by which makedumpfile leaves pages of some use out; None if it keeps them.

    From VMCOREINFO alone it can tell huge pages from 3.16 to 4.3 and since 4.6, free and poisoned
    ones since 3.9; before, free ones by the free lists.
    """
    version = kernel.version
    if use == "anonymous":
        return "user"
    if use == "huge":
        return "user" if (3, 16) <= version < (4, 4) or version >= (4, 6) else None
    if use == "hwpoison" and version < (3, 9):
        return None
    return use if use in ("cache", "cache_private", "free", "hwpoison", "offline") else None


def makedumpfile_classes(kernel: Kernel, pages: PageAnswers) -> dict[str, int]:
    """Give the pages by the classes in which makedumpfile counts what it leaves out."""
    counts = dict.fromkeys(("cache", "cache_private", "user", "free", "hwpoison", "offline"), 0)
    for use in PageAnswers.__slots__:
        goes = makedumpfile_class(kernel, use)
        if goes is not None:
            counts[goes] += getattr(pages, use)
    return counts


def leaves_unused_alone(machine: CrashedMachine) -> bool:
    """Tell whether struct pages of memory that is not online hold what lay there before."""
    return machine.kernel.at(eras.UNUSED_PAGES) == "untouched" and not machine.spec.debug_vm


def remarks(machine: CrashedMachine) -> list[str]:
    """Give what is remarkable about this machine's tracking, a sentence each."""
    kernel, said = machine.kernel, []
    if not kernel.keeps_list:
        said.append("on the radix MMU this kernel keeps no list: the page tables are the record")
    elif kernel.version < (3, 13):
        said.append("this kernel does not say in VMCOREINFO where the list is: a vmlinux is needed")
    if kernel.byte_order == "little" and kernel.version < (3, 12):
        said.append("there was no little-endian ppc64 kernel before 3.12; this one is for tests")
    planned = machine.spec.faults.crash_before_store
    if planned is not None and machine.reason is None:
        said.append(f"store {planned} was never reached: there were {machine.stores}")
    parts = [d for d in machine.idle if d.device and (d.start | d.size) % SECTION_BYTES]
    if parts and kernel.mmu == "hash":
        said.append(
            "device memory in parts of a section: on the hash MMU only the first part gets struct "
            "pages (kernels since 5.7 refuse the others)"
        )
    if machine.offline and leaves_unused_alone(machine):
        said.append(
            "struct pages of memory that is not online hold what lay there before: makedumpfile "
            "goes by them, and may count more than is said here"
        )
    if not machine.locks.serialised:
        said.append(f"nothing serialises vmemmap_populate(): {machine.locks.description}")
    if kernel.at(eras.VMEMMAP_FREE) != "real":
        said.append("this kernel never takes a block off the list when its memory goes")
    return said
