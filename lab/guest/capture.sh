# In the capture kernel: the kernel's own vmcore, then what makedumpfile makes of it.
set -e
dmesg > /mnt/dumps/capture-dmesg.txt
dd if=/proc/vmcore of=/mnt/dumps/vmcore.elf bs=1M 2> /dev/null
for way in "-c 31 zlib" "-l 31 lzo" "-c 24 zlib" "-l 17 lzo"; do
    set -- $way
    makedumpfile $1 -d $2 /proc/vmcore /mnt/dumps/vmcore.d$2.$3 > /mnt/dumps/makedumpfile.d$2.$3.txt 2>&1
done
makedumpfile -F -c -d 31 /proc/vmcore > /mnt/dumps/vmcore.d31.flat 2> /mnt/dumps/makedumpfile.d31.flat.txt
sync
