"""The tasks of a machine: one that idles on each processor, and a handful that a kernel has anyway.

They do nothing; the shell is who crashed the machine. What the kernel takes for them from its slabs
lies in memory that boot keeps, for the model has no slab allocator. The stack of a task that waits
has one frame, and the page table of a process maps nothing.

Source: Linux init/init_task.c, kernel/fork.c, kernel/pid.c, kernel/cpu.c, mm/percpu.c.
"""

from __future__ import annotations

from collections.abc import Callable

from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import LINEAR_MASK, PhysicalMemory, virt_of
from vmemmap.simulate.sched import task_layout as era
from vmemmap.simulate.sched.pid_tree import PidTree
from vmemmap.simulate.sched.roster import CRASHER, IDLE, INTERRUPTIBLE, TASKS, Task
from vmemmap.simulate.sched.structs import Structs, power_of_two

PF_IDLE, PF_KTHREAD = 0x2, 0x00200000
DEFAULT_PRIO = 120
PIDHASH_SHIFT = 4
GOLDEN_RATIO = {False: 0x9E37FFFFFFFC0001, True: 0x61C8864680B583EB}
"""GOLDEN_RATIO_64 of hash_64(), until 4.6 and since 4.7."""
STATE_NAMES_AT = 128
"""The texts of task_state_array lie so far behind its beginning."""
FRAME_BYTES = 512
"""What _switch() takes of a stack for a task that goes to sleep."""
WAITS_AT = 0x10000
"""Where in the kernel's text every task is (bytes from its beginning)."""


class Tasks:
    """The tasks of one machine.

    Attributes:
        layout: How they lie.
        phys: Physical address of each task_struct, by the task's number; 0 is `init_task`.
        idle: Physical address of each processor's idle task.
        notes: Physical address of the room for each processor's registers.
        waits_at: Virtual address in the kernel's text where every task is.
    """

    def __init__(
        self, kernel: Kernel, memory: PhysicalMemory, alloc: Callable[[int], int], cpus: int
    ) -> None:
        """Say whose they are; nothing is written yet.

        Args:
            kernel: The kernel.
            memory: The machine's memory.
            alloc: Gives so many bytes of zeros, a power of two, aligned to a page at most.
            cpus: How many processors are online.
        """
        self.kernel, self.memory, self.cpus = kernel, memory, cpus
        self._image = image_of(kernel)
        self.waits_at = virt_of(kernel.load_address + WAITS_AT)
        self.layout = era.TaskLayout(kernel)
        self.phys: dict[int, int] = {}
        self.idle: list[int] = []
        self.notes: list[int] = []
        self._alloc = alloc
        self._structs = Structs(self.layout, memory, alloc)
        self._pids: dict[int, int] = {}
        self._signals: dict[int, int] = {}

    def start_first(self) -> None:
        """Write what the image has already: `init_task`, and how processors and PIDs begin."""
        self._write_processors()
        self._pids[0] = self._image.phys["init_struct_pid"]
        self._signals[0] = self._image.phys["init_signals"]
        self._write_pid(0)
        self.phys[0] = self._image.phys["init_task"]
        self.idle.append(self._image.phys["init_task"])
        swapper = Task(0, "swapper/0", 0, state=0)
        self._write_task(swapper, self.phys[0], self._image.init_stack, cpu=0)
        self._empty_lists(self.phys[0])
        self._write_signal(0)
        root = virt_of(self._image.swapper_pg_dir)
        self._structs.put(
            *("mm_struct", self._image.phys["init_mm"]), pgd=root, mm_users=2, mm_count=1
        )
        self._structs.put(
            "pid_namespace",
            self._image.phys["init_pid_ns"],
            child_reaper=self._image.virt["init_task"],
        )
        if self.kernel.at(era.THREAD_HEAD):
            self._link_thread(self.phys[0], 0)

    def start_others(self) -> None:
        """Fork all others, and let the processors that idle do so."""
        for cpu in range(1, self.cpus):
            phys = self._structs.new("task_struct")
            idle = Task(0, f"swapper/{cpu}", 0, state=0)
            self._write_task(idle, phys, self._stack(), cpu=cpu)
            self._empty_lists(phys)
            self.idle.append(phys)
        for task in TASKS:
            self._fork(task)
        self._write_per_cpu()
        if self.kernel.at(era.PIDS_IN_IDR):
            self._write_idr()
        else:
            self._write_pid_hash()

    def _fork(self, task: Task) -> None:
        phys = self.phys[task.pid] = self._structs.new("task_struct")
        self._pids[task.pid] = self._structs.new("pid")
        self._write_pid(task.pid)
        is_leader = task.tgid == task.pid
        if is_leader:
            self._signals[task.pid] = self._structs.new("signal_struct")
            self._write_signal(task.pid)
        self._write_task(task, phys, self._stack(), cpu=0)
        self._empty_lists(phys)
        if is_leader:
            init, parent = self.phys[0], self.phys[task.parent]
            self._structs.add_tail(self._at(init, "tasks"), self._at(phys, "tasks"))
            self._structs.add_tail(self._at(parent, "children"), self._at(phys, "sibling"))
        elif self.kernel.at(era.THREAD_GROUP):
            leader = self.phys[task.tgid]
            self._structs.add_tail(self._at(leader, "thread_group"), self._at(phys, "thread_group"))
        if self.kernel.at(era.THREAD_HEAD):
            self._link_thread(phys, task.tgid)
        for kind, name in enumerate(self.layout.pid_types):
            if name == "PIDTYPE_MAX" or (name != "PIDTYPE_PID" and not is_leader):
                continue
            self._attach(phys, kind, self._pid_of(task, name))

    def _pid_of(self, task: Task, kind: str) -> int:
        """Give the struct pid that a task has for a kind: a process leads group and session."""
        if kind == "PIDTYPE_PID":
            return self._pids[task.pid]
        if kind != "PIDTYPE_TGID" and task.is_kthread:
            return self._pids[0]
        return self._pids[task.tgid]

    def _write_task(self, task: Task, phys: int, stack: int, cpu: int) -> None:
        kernel, layout = self.kernel, self.layout
        leader = self.phys.get(task.tgid, phys) if task.pid else phys
        parent = self.phys[task.parent] if task.pid else self._image.phys["init_task"]
        flags = PF_KTHREAD if task.is_kthread else 0 if task.pid else PF_KTHREAD | PF_IDLE
        runs = task.pid == CRASHER.pid or (task.pid == 0 and cpu > 0)
        words = {
            kernel.at(era.TASK_STATE)[0]: self._state(task),
            "stack": virt_of(stack),
            "flags": flags,
            "on_cpu": int(runs),
            "prio": DEFAULT_PRIO,
            "static_prio": DEFAULT_PRIO,
            "pid": task.pid,
            "tgid": task.tgid,
            "real_parent": virt_of(parent),
            "parent": virt_of(parent),
            "group_leader": virt_of(leader),
            "signal": virt_of(self._signals[task.tgid]),
            "mm": self._mm(task, leader),
        }
        words["active_mm"] = words["mm"] or self._image.virt["init_mm"]
        if kernel.at(era.TGID_LINK):
            words["thread_pid"] = virt_of(self._pids[task.pid])
        self._structs.put("task_struct", phys, **words)
        comm = task.comm.encode()[: era.COMM_BYTES - 1]
        self.memory.write(phys + layout["task_struct"].at("comm"), comm)
        self._write_thread_info(phys, stack, cpu)
        self._write_frame(phys, stack + era.STACK_BYTES - FRAME_BYTES)

    def stack_of(self, cpu: int) -> int:
        """Give the physical address of the frame in which a processor's task was at the crash."""
        task = self.idle[cpu] if cpu < len(self.idle) else self.phys[0]
        if cpu == 0 and CRASHER.pid in self.phys:
            task = self.phys[CRASHER.pid]
        thread = self._at(task, "thread") + self.layout["thread_struct"].at("ksp")
        return self.memory.load_u64(thread) & LINEAR_MASK

    def _write_frame(self, task: int, frame: int) -> None:
        """Let a task wait in _switch(), called from a frame from which nothing goes back."""
        self._structs.put("thread_struct", self._at(task, "thread"), ksp=virt_of(frame))
        regs = frame + era.STACK_FRAME_OVERHEAD
        self.memory.store_u64(frame, virt_of(regs + self.layout["pt_regs"].size))
        self._structs.put("pt_regs", regs, nip=self.waits_at, link=self.waits_at)
        self.memory.store_u64(regs + self.layout["pt_regs"].at("gpr") + 8, virt_of(frame))

    def _state(self, task: Task) -> int:
        """Give a state as the release has it: before 4.14 who is idle sleeps on in another."""
        idle_is_known = "I" in self.kernel.at(era.STATE_LETTERS)
        return task.state if task.state != IDLE or idle_is_known else INTERRUPTIBLE

    def _mm(self, task: Task, leader: int) -> int:
        """Give the virtual address of a process's mm_struct, one for all its threads."""
        if task.is_kthread or not task.pid:
            return 0
        if task.leader:
            return self.memory.load_u64(self._at(leader, "mm"))
        phys = self._structs.new("mm_struct")
        root = self._alloc(8 << self.kernel.table_bits[3])
        self._structs.put("mm_struct", phys, pgd=virt_of(root), mm_users=1, mm_count=1)
        return virt_of(phys)

    def _write_thread_info(self, task: int, stack: int, cpu: int) -> None:
        kernel, fields = self.kernel, self.layout["thread_info"].fields
        in_task = kernel.at(era.THREAD_INFO_IN_TASK)
        words = {"task": virt_of(task), "cpu": cpu}
        info = self._at(task, "thread_info") if in_task else stack
        self._structs.put(
            "thread_info", info, **{name: words[name] for name in words if name in fields}
        )
        if kernel.at(era.CPU_IN_TASK):
            self._structs.put("task_struct", task, cpu=cpu)

    def _write_signal(self, number: int) -> None:
        """Write a process's signal_struct; its list of threads is empty."""
        phys, fields = self._signals[number], self.layout["signal_struct"].fields
        threads = [task for task in TASKS if task.tgid == number]
        self._structs.put("signal_struct", phys, nr_threads=max(len(threads), 1))
        if "thread_head" in fields:
            self._structs.empty(phys + fields["thread_head"].at)
        if "pids" in fields:
            task = threads[0] if threads else Task(0, "", 0)
            for kind, name in enumerate(self.layout.pid_types):
                if name not in ("PIDTYPE_PID", "PIDTYPE_MAX"):
                    pid = virt_of(self._pid_of(task, name) if number else self._pids[0])
                    self.memory.store_u64(phys + fields["pids"].at + 8 * kind, pid)

    def _write_pid(self, number: int) -> None:
        phys = self._pids[number]
        self._structs.put("pid", phys, count=1, level=0)
        first = phys + self.layout["pid"].at("numbers")
        self._structs.put("upid", first, nr=number, ns=self._image.virt["init_pid_ns"])

    def _link_thread(self, task: int, number: int) -> None:
        head = self._signals[number] + self.layout["signal_struct"].at("thread_head")
        self._structs.add_tail(head, self._at(task, "thread_node"))

    def _empty_lists(self, task: int) -> None:
        for member in self.layout["task_struct"].fields.values():
            if member.kind == "list_head":
                self._structs.empty(task + member.at)

    def _attach(self, task: int, kind: int, pid: int) -> None:
        """Link a task to a struct pid: attach_pid()."""
        layout = self.layout
        if layout.kernel.at(era.TGID_LINK):
            node = self._at(task, "pid_links") + 16 * kind
        else:
            link = self._at(task, "pids") + layout["pid_link"].size * kind
            node = link + layout["pid_link"].at("node")
            self._structs.put("pid_link", link, pid=virt_of(pid))
        self._structs.add_head(pid + layout["pid"].at("tasks") + 8 * kind, node)

    def _write_processors(self) -> None:
        memory, image = self.memory, self._image
        memory.store_u32(image.phys["nr_cpu_ids"], self.cpus)
        for name in ("online", "possible", "present"):
            for cpu in range(self.cpus):
                word = image.phys[f"__cpu_{name}_mask"] + cpu // 64 * 8
                memory.store_u64(word, memory.load_u64(word) | 1 << cpu % 64)
            memory.store_u64(image.phys[f"cpu_{name}_mask"], image.virt[f"__cpu_{name}_mask"])
        array = self._image.phys["task_state_array"]
        at = array + STATE_NAMES_AT
        for number, letter in enumerate(self.kernel.at(era.STATE_LETTERS)):
            text = f"{letter} ({era.STATE_NAMES[letter]})".encode() + b"\0"
            memory.write(at, text)
            memory.store_u64(array + 8 * number, virt_of(at))
            at += len(text)

    def _write_per_cpu(self) -> None:
        """Give each processor its part of the per-CPU memory: a run queue, and room for a note."""
        notes = self._image.phys["__per_cpu_end"] - self._image.phys["runqueues"]
        self.memory.store_u64(self._image.phys["crash_notes"], self._image.virt["__per_cpu_end"])
        for cpu, idle in enumerate(self.idle):
            phys = self._alloc(power_of_two(notes + 4 * era.NOTE_WORDS))
            self.notes.append(phys + notes)
            offset = (phys - self._image.phys["runqueues"]) & (1 << 64) - 1
            self.memory.store_u64(self._image.phys["__per_cpu_offset"] + 8 * cpu, offset)
            runs = self.phys[CRASHER.pid] if cpu == 0 else idle
            self._structs.put(
                *("rq", phys), curr=virt_of(runs), idle=virt_of(idle), nr_running=int(cpu == 0)
            )

    def _write_idr(self) -> None:
        tree = PidTree(self.kernel, self.memory, self.layout, self._alloc)
        idr = self._image.phys["init_pid_ns"] + self.layout["pid_namespace"].at("idr")
        pids = {number: virt_of(phys) for number, phys in self._pids.items() if number}
        tree.write(idr + self.layout["idr"].at("idr_rt"), pids)
        self._structs.put("idr", idr, idr_next=CRASHER.pid + 1)

    def _write_pid_hash(self) -> None:
        table = self._alloc(8 << PIDHASH_SHIFT)
        self.memory.store_u64(self._image.phys["pid_hash"], virt_of(table))
        self.memory.store_u32(self._image.phys["pidhash_shift"], PIDHASH_SHIFT)
        chain = self.layout["pid"].at("numbers") + self.layout["upid"].at("pid_chain")
        ratio = GOLDEN_RATIO[self.kernel.version >= (4, 7)]
        for number, phys in self._pids.items():
            if number:
                key = number + self._image.virt["init_pid_ns"]
                row = (key * ratio & (1 << 64) - 1) >> 64 - PIDHASH_SHIFT
                self._structs.add_head(table + 8 * row, phys + chain)

    def _at(self, task: int, member: str) -> int:
        return task + self.layout["task_struct"].at(member)

    def _stack(self) -> int:
        return self._alloc(era.STACK_BYTES)
