# Brings the memory online that the kernel did not, and lists the blocks that cannot be.
for block in /sys/devices/system/memory/memory*; do
    if [ "$(cat $block/state)" = offline ]; then
        echo online > $block/state || echo "$block stays offline"
    fi
done
