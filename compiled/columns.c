/* Members of struct pages copied into records, and pages that are filled with zeros. */

#include "columns.h"

#include "reading.h"
#include "words.h"

const char copy_doc[] =
    "copy(data, spans, size, swap, stretches, out, item, members)\n--\n\n"
    "Copy members of struct pages into records, and tell whether all could be had.\n\n"
    "data, spans: as for Pass.go; size: of a struct page; swap: turn the bytes of members around;\n"
    "stretches: int64 (m, 2), first pfn and end pfn; out: records of *item* bytes, one for each\n"
    "page of the stretches; members: int64 (k, 3), offset in a struct page, width, offset in out.";

static void copy_page(const uint8_t *page, uint8_t *out, const int64_t *members, Py_ssize_t count,
                      int swap) {
    for (Py_ssize_t i = 0; i < count; i++, members += 3) {
        const uint8_t *from = page + members[0];
        uint8_t *to = out + members[2];
        if (members[1] == 8) {
            uint64_t value = load64(from);
            value = swap ? __builtin_bswap64(value) : value;
            memcpy(to, &value, 8);
        } else {
            uint32_t value = load32(from);
            value = swap ? __builtin_bswap32(value) : value;
            memcpy(to, &value, 4);
        }
    }
}

PyObject *copy_members(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[5], *result = NULL;
    Py_buffer buffers[5];
    int size, swap, held = 0;
    Py_ssize_t item;
    if (!PyArg_ParseTuple(args, "OOipOOnO:copy", &given[0], &given[1], &size, &swap, &given[2],
                          &given[3], &item, &given[4]))
        return NULL;
    for (; held < 5; held++)
        if (PyObject_GetBuffer(given[held], &buffers[held],
                               held == 3 ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
            goto done;
    Pieces pieces = {buffers[0].buf, buffers[1].buf, buffers[1].len / 24, 0};
    const int64_t *stretches = buffers[2].buf, *members = buffers[4].buf;
    Py_ssize_t stretch_count = buffers[2].len / 16, member_count = buffers[4].len / 24;
    uint8_t *out = buffers[3].buf, *end = out + buffers[3].len, room[SIZE_MAX_PAGE];
    if (!check_spans(&pieces, buffers[0].len))
        goto done;
    int fits = size >= 8 && size <= SIZE_MAX_PAGE && item > 0;
    for (Py_ssize_t i = 0; i < member_count; i++) {
        const int64_t *member = members + 3 * i;
        fits = fits && (member[1] == 4 || member[1] == 8) && member[0] >= 0 && member[2] >= 0 &&
               member[0] <= size - member[1] && member[2] <= item - member[1];
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a member lies outside the struct page or the record");
        goto done;
    }
    for (Py_ssize_t i = 0; i < stretch_count; i++) {
        int64_t pfn = stretches[2 * i], stop = stretches[2 * i + 1], rows;
        if (pfn < 0 || stop > INT64_MAX / size || stop - pfn > (end - out) / item) {
            PyErr_SetString(PyExc_ValueError, "there is no room for so many records");
            goto done;
        }
        for (; pfn < stop; pfn += rows) {
            const uint8_t *page = pages_at(&pieces, size, pfn, stop - pfn, room, &rows);
            if (page == NULL) {
                result = Py_NewRef(Py_False);
                goto done;
            }
            for (int64_t row = 0; row < rows; row++, page += size, out += item)
                copy_page(page, out, members, member_count, swap);
        }
    }
    result = Py_NewRef(Py_True);
done:
    while (held-- > 0)
        PyBuffer_Release(&buffers[held]);
    return result;
}

const char zero_pages_doc[] =
    "zero_pages(data, spans, page, out, file=-1)\n--\n\n"
    "Tell which pages are filled with zeros, and give whether all could be had.\n\n"
    "data, spans: as for Pass.go, each span a multiple of *page* bytes; out: a byte for each page of\n"
    "the spans, set to 1 where it is, else to 0; file: the open file that *data* maps, if it is to be\n"
    "read: pages that lie apart are had faster so than by mapping them.";

#define READ_BYTES (256 << 10) /* so that what was read is still in the cache when it is looked at */
#define LARGE_BYTES 16384      /* a page that takes longer to read than to ask for twice */
#define FIRST_BYTES 512

/* Pages that are looked at, and what came of it. */
typedef struct {
    Py_ssize_t page;
    int file, error;
    uint8_t *room;
    uint8_t *out, *end;
    int cut, full; /* the file ended too early; there was no room for so many pages */
} ZeroJob;

static void look_at(ZeroJob *job, const uint8_t *data, int64_t bytes) {
    for (; bytes >= job->page; bytes -= job->page, data += job->page) {
        if (job->out == job->end) {
            job->full = 1;
            return;
        }
        *job->out++ = (uint8_t)all_zero(data, job->page);
    }
}

/* Read a part of the file; gives 0 where that cannot be. */
static int read_part(ZeroJob *job, int64_t offset, int64_t bytes) {
    int failed = read_fully(job->file, job->room, bytes, offset);
    job->cut = failed == READ_ENDED, job->error = failed > 0 ? failed : 0;
    return failed == READ_ALL;
}

/* Read a span in parts, and look at each. Gives 0 where that is the end of it. */
static int read_and_look(ZeroJob *job, int64_t offset, int64_t bytes) {
    const int64_t page = job->page, most = READ_BYTES / page * page;
    while (bytes > 0 && !job->full) {
        int64_t part = bytes < most ? bytes : most;
        if (page >= LARGE_BYTES) {
            /* Most pages that are not zero show it in their first bytes. */
            part = page;
            if (!read_part(job, offset, FIRST_BYTES))
                return 0;
            if (!all_zero(job->room, FIRST_BYTES) && job->out != job->end) {
                *job->out++ = 0;
                offset += part, bytes -= part;
                continue;
            }
        }
        if (!read_part(job, offset, part))
            return 0;
        look_at(job, job->room, part);
        offset += part, bytes -= part;
    }
    return !job->full;
}

PyObject *zero_pages(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[3], *result = NULL;
    Py_buffer buffers[3];
    int held = 0;
    ZeroJob job = {.file = -1};
    if (!PyArg_ParseTuple(args, "OOnO|i:zero_pages", &given[0], &given[1], &job.page, &given[2],
                          &job.file))
        return NULL;
    for (; held < 3; held++)
        if (PyObject_GetBuffer(given[held], &buffers[held],
                               held == 2 ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
            goto done;
    Pieces pieces = {buffers[0].buf, buffers[1].buf, buffers[1].len / 24, 0};
    if (!check_spans(&pieces, buffers[0].len))
        goto done;
    if (job.page < 64 || job.page % 64 || job.page > READ_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a page has a multiple of 64 bytes, and not so many");
        goto done;
    }
    job.out = buffers[2].buf, job.end = job.out + buffers[2].len;
    if (job.file >= 0 && (job.room = PyMem_Malloc(READ_BYTES)) == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    /* The pages may have to come from the disk, while other threads compress those before them. */
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < pieces.count && !job.full; i++) {
        const int64_t *span = pieces.spans + 3 * i;
        if (job.file < 0)
            look_at(&job, pieces.data + span[2], span[1]);
        else if (!read_and_look(&job, span[2], span[1]))
            break;
    }
    Py_END_ALLOW_THREADS
    if (job.full) {
        PyErr_SetString(PyExc_ValueError, "there is no room for so many pages");
    } else if (job.error) {
        errno = job.error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result = Py_NewRef(job.cut ? Py_False : Py_True);
    }
done:
    PyMem_Free(job.room);
    while (held-- > 0)
        PyBuffer_Release(&buffers[held]);
    return result;
}
