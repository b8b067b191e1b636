# In the capture kernel: the kernel's own vmcore, then what makedumpfile makes of it. $WAYS is set by
# the host: zlib:LEVEL, lzo:LEVEL or flat:LEVEL.
set -e
dmesg > /mnt/dumps/capture-dmesg.txt
dd if=/proc/vmcore of=/mnt/dumps/vmcore.elf bs=1M 2> /dev/null
for way in $WAYS; do
    form=${way%:*} level=${way#*:}
    out=/mnt/dumps/vmcore.d$level.$form log=/mnt/dumps/makedumpfile.d$level.$form.txt
    case $form in
        zlib) makedumpfile -c -d $level /proc/vmcore $out > $log 2>&1 ;;
        lzo) makedumpfile -l -d $level /proc/vmcore $out > $log 2>&1 ;;
        flat) makedumpfile -F -c -d $level /proc/vmcore > $out 2> $log ;;
    esac
done
sync
