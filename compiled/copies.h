/* What of a piece of memory can be copied from before: the search that compressors share. */

#ifndef VMEMMAP_COPIES_H
#define VMEMMAP_COPIES_H

#include "words.h"

/* A copy of *length* bytes, to *to* from *from*, which lies before it. */
typedef struct {
    const uint8_t *to, *from;
    size_t length;
} Copy;

/* Find the first copy of four bytes or more that begins at *ip* or behind it, and before *last*; its
 * length is 0 where there is none. It ends before *end* and begins at most *far* bytes back.
 *
 * table: the places, from *piece* on, at which bytes were seen last, all 0 at first.
 * plain: the first byte behind the copy before. The longer ago that is the longer are the steps: one
 * byte more with each 2**patience, lest noise take long. */
static inline __attribute__((always_inline)) Copy next_copy(const uint8_t *piece, const uint8_t *ip,
                                                            const uint8_t *last, const uint8_t *end,
                                                            const uint8_t *plain, ptrdiff_t far,
                                                            int patience, uint16_t *table, int bits) {
    while (ip < last) {
        uint16_t *place = place_of(table, bits, ip);
        const uint8_t *earlier = piece + *place;
        *place = (uint16_t)(ip - piece);
        if (little32(earlier) == little32(ip) && ip - earlier <= far)
            return (Copy){ip, earlier, 4 + same_bytes(earlier + 4, ip + 4, end)};
        ip += 1 + ((ip - plain) >> patience);
    }
    return (Copy){0};
}

/* Begin a copy earlier, as far as the bytes before it are the same, but not before *plain*. */
static inline __attribute__((always_inline)) void reach_back(Copy *copy, const uint8_t *piece,
                                                             const uint8_t *plain) {
    for (; copy->to > plain && copy->from > piece && copy->to[-1] == copy->from[-1]; copy->length++)
        copy->to--, copy->from--;
}

#endif
