# In the capture kernel, before QEMU dumps it: where its symbols are.
set -e
mkdir -p /mnt/guest/capture
cat /proc/kallsyms > /mnt/guest/capture/kallsyms
cat /proc/iomem > /mnt/guest/capture/iomem
