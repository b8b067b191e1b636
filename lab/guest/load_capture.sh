# Loads the capture kernel, which takes over when this one crashes.
set -e
cp /mnt/vmlinux /mnt/initrd.img /tmp/
kexec -p /tmp/vmlinux --initrd=/tmp/initrd.img --append="lab.capture console=hvc0 nr_cpus=1 maxcpus=1 irqpoll reset_devices"
rm /tmp/vmlinux /tmp/initrd.img
test "$(cat /sys/kernel/kexec_crash_loaded)" = 1
