/* Room on the disk for a file, made before it is written. */

#ifdef __linux__
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/vfs.h>
#endif

#include "room.h"

const char make_room_doc[] =
    "make_room(fd, offset, size)\n--\n\n"
    "Make room on the disk for *size* bytes of a file from *offset* on; its length stays as it is.\n\n"
    "False where it has not been made, for want of room or since it would be of no use: only where\n"
    "each write looks for its own blocks (ext4, XFS) is it faster to find many together. Elsewhere\n"
    "the C library may write zeros instead, and in memory the system does.\n\n"
    "Source: Linux, fallocate(2); include/uapi/linux/magic.h.";

#ifdef __linux__
#define EXT4 0xEF53
#define XFS 0x58465342

static int found_room(int file, int64_t offset, int64_t size) {
    struct statfs on;
    if (fstatfs(file, &on) || (on.f_type != EXT4 && on.f_type != XFS))
        return 0;
    return fallocate(file, FALLOC_FL_KEEP_SIZE, offset, size) == 0;
}
#else
static int found_room(int file, int64_t offset, int64_t size) {
    (void)file, (void)offset, (void)size;
    return 0;
}
#endif

PyObject *make_room(PyObject *Py_UNUSED(module), PyObject *args) {
    int file, found;
    long long offset, size;
    if (!PyArg_ParseTuple(args, "iLL:make_room", &file, &offset, &size))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    found = found_room(file, offset, size);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(found);
}
