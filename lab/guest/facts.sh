# What the guest says of itself that does not change.
to=/mnt/guest
mkdir -p $to
for name in version cmdline cpuinfo iomem modules kallsyms vmallocinfo; do
    cat /proc/$name > $to/$name
done
for block in /sys/devices/system/memory/memory[0-9]*; do
    nodes=$(cd $block && echo node*)
    echo "${block##*/} state=$(cat $block/state) index=$(cat $block/phys_index) zones=$(cat $block/valid_zones) removable=$(cat $block/removable) nodes=$nodes"
done > $to/memory-blocks
echo "block_size_bytes $(cat /sys/devices/system/memory/block_size_bytes)" >> $to/memory-blocks
