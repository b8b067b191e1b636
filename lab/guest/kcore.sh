# The beginning of /proc/kcore: headers, and $MIB MiB of the linear map. The rest is holes without end.
set -e
dd if=/proc/kcore of=/mnt/dumps/kcore bs=1M count=$((MIB + 1)) 2> /dev/null
