# Secrets of all kinds, each a text that is found nowhere else; those that could be planted are named
# in guest/planted, for the checks that look for them where they must not come through.
mark() { echo "Plnt~$1~7Qx9"; }
fill() { yes "$(mark "$1")" | head -c "$2"; }
did() { echo "$1" >> /mnt/guest/planted; }
mkdir -p /mnt/guest /planted
mount -t tmpfs planted /planted
: > /mnt/guest/planted
fill cache 262144 > /planted/cache && did cache
touch "/planted/$(mark name)" && did name
# What is freed last is used again first: so much that some of it stays as it was. More of it was
# freed before memory was added, which /proc/vmcore does not have.
fill freed 50331648 > /planted/freed && rm /planted/freed && did freed
sh -c 'sleep 86400; :' "$(mark argv)" &
did argv
PLANTED=$(mark environ) sleep 86400 &
did environ
printf '#!/bin/sh\nsleep 86400\n:\n' > "/planted/$(mark comm)"
chmod +x "/planted/$(mark comm)"
"/planted/$(mark comm)" &
did comm
(memory=$(fill memory 65536); sleep 86400; echo "$memory" > /dev/null) &
did memory
(fill pipe 4096; sleep 86400) | sleep 86400 &
did pipe
ifconfig lo 127.0.0.1 up
nc -l -p 9999 -s 127.0.0.1 -e sleep 86400 &
sleep 1
(fill socket 8192; sleep 86400) | nc 127.0.0.1 9999 &
did socket
/bin/plant
status=$?
[ $((status & 1)) = 0 ] && did xattr
[ $((status & 2)) = 0 ] && did key
echo "$(mark log) of a process" > /dev/kmsg && did log
sleep 2
exit 0
