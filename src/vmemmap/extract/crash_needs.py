"""What crash reads of a kernel before it answers: variables, text that is constant, places.

A kernel has some of these and lacks others, by its age and configuration: those that it has are
shown. Nothing here is of a process: no name, no number, no stack, no time.

Source: crash 8.0.6, ``kernel_init``, ``task_init``, ``vm_init``, ``ppc64_init``, ``dump_kmeminfo``.
"""

from __future__ import annotations

ADDRESSES = ("high_memory", "mem_section", "vmemmap")
NUMBERS = {
    "_totalram_pages": 8,
    "totalram_pages": 8,
    "_totalhigh_pages": 8,
    "totalhigh_pages": 8,
    "num_physpages": 8,
    "nr_node_ids": 4,
    "nr_irqs": 4,
    "memory_block_size_probed": 8,
    "nr_huge_pages": 8,
    "free_huge_pages": 8,
    "sysctl_overcommit_memory": 4,
    "sysctl_overcommit_kbytes": 8,
    "sysctl_overcommit_ratio": 4,
    "ppc_proc_freq": 8,
    "tainted_mask": 8,
    "crashing_cpu": 4,
    "zero_pfn": 8,
    "huge_zero_pfn": 8,
    "pidhash_shift": 4,
    "mt_slots": 4,
    "mt_pivots": 4,
}
"""Variables, and their bytes."""

PLACES = (
    *("shadow_timekeeper", "timekeeper", "xtime", "jiffies_64", "avenrun"),
    *("nr_threads", "init_pid_ns", "hardirq_ctx", "softirq_ctx", "opal"),
    *("nr_swapfiles", "swap_info", "nr_swapper_spaces", "swapper_spaces"),
    *("swapper_space", "modules"),
)
"""Variables that crash ends without, and goes on with zeros for: their pages are in the extract."""

STATISTICS = {
    "vm_stat": ("zone_stat_item", "NR_VM_ZONE_STAT_ITEMS"),
    "vm_zone_stat": ("zone_stat_item", "NR_VM_ZONE_STAT_ITEMS"),
    "vm_node_stat": ("node_stat_item", "NR_VM_NODE_STAT_ITEMS"),
}
"""Arrays of counters, and the enumerator that is how many there are."""

CPU_MASKS = ("possible", "present", "online", "active")
PACA_STACKS = ("emergency_sp", "nmi_emergency_sp", "mc_emergency_sp")
HUGE_PAGES = ("order", "nr_huge_pages", "free_huge_pages")
"""Members of ``struct hstate``."""
