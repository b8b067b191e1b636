/* Pages brought into the form in which a dump file has them, many in one call. */

#include "pack.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lzo1x.h"
#include "noise.h"
#include "reading.h"
#include "snappy.h"
#include "words.h"

#define WINDOW 262144 /* bytes that are read of a file in one call: the second cache holds them */
#define SORTED_PAGE_MAX 65536
#define GAP 4096      /* to read so many bytes that nobody wants is as fast as another call */

const char pack_pages_doc[] =
    "pack_pages(source, offset, size, form, page, codec, out)\n--\n\n"
    "Put pages one behind the other in *out*, as a dump file has them; give how many bytes they take.\n\n"
    "source: the buffer in which they are, or the descriptor of the file; offset, size: int64, where\n"
    "each begins and how many bytes it has there; form: int64, -1 for a page to be compressed, 0 for\n"
    "one that stays plain, more for one that is compressed already, less for one that takes no bytes;\n"
    "page: bytes of a page; codec: the flag of what it is compressed by, 2 for LZO1X, 4 for snappy, 0\n"
    "for nothing, -1 for nothing yet; out: needs a quarter of *page* and 256 bytes more than all sizes\n"
    "together.\n\n"
    "Each size is set to the bytes in *out*, and each form to *codec* where the page was made smaller,\n"
    "to 0 where it is plain, and to -3 where it is full of zeros and takes no bytes. With a codec of\n"
    "-1 it stays -1 for a page that copies from within it would make smaller, and is 0 for noise.\n\n"
    "An OSError where the file cannot be read, an EOFError where it ends before.";

enum { CONTENT = -1, PLAIN = 0, ZERO = -3 };
enum { SORT = -1, NONE = 0, LZO = 2, SNAPPY = 4 };
enum { DONE = READ_ALL, ENDED = READ_ENDED, NO_ROOM = -2 }; /* or an errno */

typedef struct {
    Py_buffer source, columns[3], out;
    int held;
    int file; /* a descriptor, or -1 for *source* */
    uint8_t *window;
    int64_t *offset, *size, *form;
    Py_ssize_t count;
    Py_ssize_t page;
    int codec;
    size_t used;
} Job;

static inline size_t room_for(size_t page, int codec) {
    return codec == LZO ? lzo1x_bound(page) : codec == SNAPPY ? snappy_bound(page) : page;
}

/* Write a page, which is at *from*, behind those before. */
static int put_page(Job *job, Py_ssize_t row, const uint8_t *from) {
    uint8_t *out = (uint8_t *)job->out.buf + job->used;
    size_t bytes = (size_t)job->size[row], room = (size_t)job->out.len - job->used;
    int64_t form = job->form[row];
    if (form <= PLAIN && all_zero(from, job->page)) {
        job->form[row] = ZERO;
        job->size[row] = 0;
        return DONE;
    }
    if (room < (form == CONTENT ? room_for(bytes, job->codec) : bytes))
        return NO_ROOM;
    size_t made = bytes;
    if (form == CONTENT && job->codec > NONE)
        made = job->codec == LZO ? lzo1x_write(from, bytes, out) : snappy_write(from, bytes, out);
    if (made < bytes)
        job->form[row] = job->codec;
    else {
        made = bytes;
        memcpy(out, from, bytes);
        if (form == CONTENT && (job->codec != SORT || is_noise(from, bytes)))
            job->form[row] = PLAIN;
    }
    job->size[row] = (int64_t)made;
    job->used += made;
    return DONE;
}

/* Do all pages; those that lie near one another in a file are read together. */
static int put_all(Job *job) {
    const int64_t *offset = job->offset, *size = job->size;
    int failed = DONE;
    for (Py_ssize_t row = 0; row < job->count && !failed;) {
        if (job->form[row] < CONTENT) {
            job->size[row++] = 0;
            continue;
        }
        if (job->file < 0) {
            failed = put_page(job, row, (const uint8_t *)job->source.buf + offset[row]);
            row++;
            continue;
        }
        int64_t start = offset[row], end = start + size[row];
        Py_ssize_t stop = row + 1;
        for (; stop < job->count; stop++) {
            if (job->form[stop] < CONTENT)
                continue;
            if (offset[stop] < end || offset[stop] > end + GAP ||
                offset[stop] + size[stop] - start > WINDOW)
                break;
            end = offset[stop] + size[stop];
        }
        failed = read_fully(job->file, job->window, end - start, start);
        for (; row < stop && !failed; row++)
            if (job->form[row] < CONTENT)
                job->size[row] = 0;
            else
                failed = put_page(job, row, job->window + (offset[row] - start));
    }
    return failed;
}

/* Check what is given; a Python error is set where it cannot be. */
static int check(const Job *job) {
    if (job->page < 64 || job->page % 64 || job->page > WINDOW)
        PyErr_SetString(PyExc_ValueError, "a page has a multiple of 64 bytes, 256 KiB at most");
    else if (job->codec != SORT && job->codec != NONE && job->codec != LZO && job->codec != SNAPPY)
        PyErr_Format(PyExc_ValueError, "there is no codec of flag %d here", job->codec);
    else if (job->codec == SORT && job->page > SORTED_PAGE_MAX)
        PyErr_SetString(PyExc_ValueError, "noise is told from other pages up to 64 KiB");
    else if (job->columns[0].len != job->columns[1].len || job->columns[0].len != job->columns[2].len)
        PyErr_SetString(PyExc_ValueError, "the columns have different lengths");
    else {
        int64_t end = job->file < 0 ? (int64_t)job->source.len : INT64_MAX;
        for (Py_ssize_t i = 0; i < job->count; i++) {
            int64_t size = job->size[i], form = job->form[i];
            if (form < CONTENT)
                continue;
            if (size < 0 || size > job->page || (form <= PLAIN && size != job->page) ||
                job->offset[i] < 0 || job->offset[i] > end - size) {
                PyErr_SetString(PyExc_ValueError, "a page lies outside of what is given");
                return 0;
            }
        }
        return 1;
    }
    return 0;
}

/* Take hold of what is given; a Python error is set where that cannot be. */
static int take(Job *job, PyObject *args) {
    PyObject *source, *columns[3], *out;
    if (!PyArg_ParseTuple(args, "OOOOniO:pack_pages", &source, &columns[0], &columns[1], &columns[2],
                          &job->page, &job->codec, &out))
        return 0;
    if (PyLong_Check(source)) {
        long file = PyLong_AsLong(source);
        if (file < 0 || file > INT32_MAX) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "there is no such file descriptor");
            return 0;
        }
        job->file = (int)file;
        job->window = PyMem_Malloc(WINDOW);
        if (job->window == NULL) {
            PyErr_NoMemory();
            return 0;
        }
    } else if (PyObject_GetBuffer(source, &job->source, PyBUF_SIMPLE) < 0)
        return 0;
    for (; job->held < 3; job->held++)
        if (PyObject_GetBuffer(columns[job->held], &job->columns[job->held],
                               job->held ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
            return 0;
    if (PyObject_GetBuffer(out, &job->out, PyBUF_WRITABLE) < 0)
        return 0;
    job->held++;
    job->offset = job->columns[0].buf;
    job->size = job->columns[1].buf;
    job->form = job->columns[2].buf;
    job->count = job->columns[0].len / 8;
    return check(job);
}

PyObject *pack_pages(PyObject *Py_UNUSED(module), PyObject *args) {
    Job job = {.file = -1};
    PyObject *result = NULL;
    if (take(&job, args)) {
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = put_all(&job);
        Py_END_ALLOW_THREADS
        if (failed == DONE)
            result = PyLong_FromSize_t(job.used);
        else if (failed == ENDED)
            PyErr_SetString(PyExc_EOFError, "the file ends before the page");
        else if (failed == NO_ROOM)
            PyErr_SetString(PyExc_ValueError, "there is no room for so many pages");
        else {
            errno = failed;
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    PyMem_Free(job.window);
    if (job.held == 4)
        PyBuffer_Release(&job.out);
    for (int i = job.held < 3 ? job.held : 3; i-- > 0;)
        PyBuffer_Release(&job.columns[i]);
    if (job.source.obj != NULL)
        PyBuffer_Release(&job.source);
    return result;
}
