/* Members of struct pages copied into records, and pages that are filled with zeros. */

#include "columns.h"

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
    "zero_pages(data, spans, page, out)\n--\n\n"
    "Tell which pages are filled with zeros.\n\n"
    "data, spans: as for Pass.go, each span a multiple of *page* bytes; out: a byte for each page of\n"
    "the spans, set to 1 where it is, else to 0.";

PyObject *zero_pages(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[3], *result = NULL;
    Py_buffer buffers[3];
    int held = 0;
    Py_ssize_t page;
    if (!PyArg_ParseTuple(args, "OOnO:zero_pages", &given[0], &given[1], &page, &given[2]))
        return NULL;
    for (; held < 3; held++)
        if (PyObject_GetBuffer(given[held], &buffers[held],
                               held == 2 ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
            goto done;
    Pieces pieces = {buffers[0].buf, buffers[1].buf, buffers[1].len / 24, 0};
    if (!check_spans(&pieces, buffers[0].len))
        goto done;
    if (page < 64 || page % 64) {
        PyErr_SetString(PyExc_ValueError, "a page has a multiple of 64 bytes");
        goto done;
    }
    uint8_t *out = buffers[2].buf, *end = out + buffers[2].len;
    int room = 1;
    /* The pages may have to come from the disk, while other threads compress those before them. */
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < pieces.count && room; i++) {
        const int64_t *span = pieces.spans + 3 * i;
        const uint8_t *at = pieces.data + span[2];
        for (int64_t left = span[1]; left >= page && room; left -= page, at += page) {
            room = out != end;
            if (room)
                *out++ = (uint8_t)all_zero(at, page);
        }
    }
    Py_END_ALLOW_THREADS
    if (!room) {
        PyErr_SetString(PyExc_ValueError, "there is no room for so many pages");
        goto done;
    }
    result = Py_NewRef(Py_None);
done:
    while (held-- > 0)
        PyBuffer_Release(&buffers[held]);
    return result;
}
