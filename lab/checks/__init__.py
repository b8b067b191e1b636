"""The lab's comparisons: what vmemmap says of a real machine, beside what others say of it.

    VMEMMAP_LAB=build/lab PYTHONPATH=src:tools python -m pytest lab/checks

They run over the folders that the machines left behind (``lab.results``). The witnesses: the
guest's own /proc and /sys (``test_guest_*``), the simulator fed with the same memory and hot-plug
(``test_simulator``), the other dumps of the same machine (``test_containers``), and crash,
makedumpfile and vmcore-dmesg under qemu-user (``test_peer_*``). What a witness says is taken apart
in ``guest_*`` and ``peer_*``, which do not know vmemmap and have tests of their own.
"""
