# What the guest says of itself that changes all the time; $MOMENT is set by the host.
# First into memory, so that writing one file over the network does not change the next.
to=/tmp/$MOMENT
mkdir -p $to /mnt/guest/$MOMENT
echo 3 > /proc/sys/vm/drop_caches
dmesg > $to/dmesg
for name in slabinfo pagetypeinfo vmstat meminfo buddyinfo zoneinfo; do
    cat /proc/$name > $to/$name
done
cp $to/* /mnt/guest/$MOMENT/
for name in vmstat meminfo buddyinfo zoneinfo; do
    cat /proc/$name > /mnt/guest/$MOMENT/$name
done
