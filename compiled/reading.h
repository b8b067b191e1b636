/* Bytes of an open file, read without the interpreter. */

#ifndef VMEMMAP_READING_H
#define VMEMMAP_READING_H

#include <errno.h>
#include <stdint.h>
#ifndef _WIN32
#include <unistd.h>
#endif

enum { READ_ALL = 0, READ_ENDED = -1 };

/* Read *bytes* bytes from *offset* on: READ_ALL, READ_ENDED where the file ends before, or an errno. */
static inline int read_fully(int file, uint8_t *out, int64_t bytes, int64_t offset) {
#ifdef _WIN32
    (void)file, (void)out, (void)bytes, (void)offset;
    return ENOSYS;
#else
    for (int64_t done = 0; done < bytes;) {
        ssize_t got = pread(file, out + done, (size_t)(bytes - done), offset + done);
        if (got > 0)
            done += got;
        else if (got == 0)
            return READ_ENDED;
        else if (errno != EINTR)
            return errno;
    }
    return READ_ALL;
#endif
}

#endif
