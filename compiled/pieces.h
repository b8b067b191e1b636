/* Struct pages in a buffer: in pieces, of which one struct page may lie in two. */

#ifndef VMEMMAP_PIECES_H
#define VMEMMAP_PIECES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define SIZE_MAX_PAGE 256 /* bytes in a struct page, at most */

/* Where struct pages lie: spans of position from the base, bytes, and offset in the data. */
typedef struct {
    const uint8_t *data;
    const int64_t *spans;
    Py_ssize_t count, at;
} Pieces;

static inline uint64_t load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

static inline uint32_t load32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* Give the struct page of *pfn*, put together in *room* where it lies in two pieces; or NULL. */
static inline const uint8_t *page_at(const Pieces *pieces, int size, int64_t pfn, uint8_t *room) {
    int64_t at = pfn * size;
    int have = 0;
    for (Py_ssize_t i = pieces->at; i < pieces->count && have < size; i++) {
        const int64_t *span = pieces->spans + 3 * i;
        if (span[0] + span[1] <= at)
            continue;
        if (span[0] > at)
            return NULL;
        int64_t into = at - span[0], left = span[1] - into;
        if (have == 0 && left >= size)
            return pieces->data + span[2] + into;
        int64_t take = left < size - have ? left : size - have;
        memcpy(room + have, pieces->data + span[2] + into, (size_t)take);
        have += (int)take, at += take;
    }
    return have == size ? room : NULL;
}

/* Give the struct pages from *pfn* on that lie in one piece, and how many, at most *most*. */
static inline const uint8_t *pages_at(Pieces *pieces, int size, int64_t pfn, int64_t most, uint8_t *room,
                               int64_t *count) {
    while (pieces->at < pieces->count &&
           pieces->spans[3 * pieces->at] + pieces->spans[3 * pieces->at + 1] <= pfn * size)
        pieces->at++;
    *count = 1;
    if (pieces->at == pieces->count)
        return NULL;
    const int64_t *span = pieces->spans + 3 * pieces->at;
    int64_t into = pfn * size - span[0], rows = into < 0 ? 0 : (span[1] - into) / size;
    if (rows == 0)
        return page_at(pieces, size, pfn, room);
    *count = rows < most ? rows : most;
    return pieces->data + span[2] + into;
}

/* Give where the piece behind the one of the last call of pages_at begins; NULL if there is none. */
static inline const uint8_t *next_piece(const Pieces *pieces) {
    return pieces->at + 1 < pieces->count ? pieces->data + pieces->spans[3 * pieces->at + 5] : NULL;
}

/* Check that the pieces lie in the data, in order, and do not overlap. */
static inline int check_spans(const Pieces *pieces, Py_ssize_t data_bytes) {
    const int64_t *spans = pieces->spans;
    int64_t end = 0;
    for (Py_ssize_t i = 0; i < pieces->count; i++, spans += 3) {
        if (spans[0] < end || spans[1] < 0 || spans[2] < 0 || spans[1] > INT64_MAX - spans[0] ||
            spans[1] > data_bytes || spans[2] > data_bytes - spans[1]) {
            PyErr_SetString(PyExc_ValueError, "a piece of struct pages lies outside the data");
            return 0;
        }
        end = spans[0] + spans[1];
    }
    return 1;
}

#endif
