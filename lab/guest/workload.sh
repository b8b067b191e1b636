# Something of each kind for the census: page cache, private cache, anonymous memory, huge pages.
dd if=/bin/busybox of=/tmp/file bs=64k 2> /dev/null
ls -R / > /dev/null
sleep 86400 &
echo 1 > /proc/sys/vm/nr_hugepages 2> /dev/null
echo 1 > /proc/sys/kernel/printk_devkmsg 2> /dev/null
# Freed before memory is added, as plant.sh says.
yes 'Plnt~freed~7Qx9' | head -c 50331648 > /tmp/freed && rm /tmp/freed
exit 0
