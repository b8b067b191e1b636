# Fills the kernel's log several times over, and saves what can still be read of it. The last message
# is not saved: the kernel gives it out only when another follows.
exec 3> /dev/kmsg
i=0
while [ $i -lt 9500 ]; do
    printf '<%d>%023d' $((i % 8)) $i >&3
    i=$((i + 1))
done
printf '<3>esc \033[1m tab\t \303\251 \377 end' >&3
cat /dev/kmsg > /mnt/guest/kmsg &
reader=$!
size=0
last=-1
while [ $size = 0 ] || [ $size != $last ]; do
    sleep 3
    last=$size
    size=$(wc -c < /mnt/guest/kmsg)
done
kill $reader
