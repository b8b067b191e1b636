/* Noise: pages that compressors find nothing to copy in, told apart in a fraction of their time. */

#ifndef VMEMMAP_NOISE_H
#define VMEMMAP_NOISE_H

#include "words.h"

#define NOISE_TABLE_BITS 10 /* 2 KiB: a page is not worth clearing more */
#define NOISE_TAIL 16       /* bytes at the end that are not looked at, so that loads stay inside */
#define NOISE_PATIENCE 7    /* each 128 bytes without a copy make the steps longer */
#define NOISE_SAVED 16      /* bytes that copies have to save: a compressed form's own headers */

/* Tell whether copies from within a page of at most 64 KiB would hardly make it smaller. */
static inline int is_noise(const uint8_t *page, size_t bytes) {
    uint16_t table[1 << NOISE_TABLE_BITS] = {0};
    const uint8_t *ip = page + 1, *last = page + bytes - NOISE_TAIL, *plain = page;
    size_t saved = 0;
    while (ip < last && saved < NOISE_SAVED) {
        uint16_t *place = place_of(table, NOISE_TABLE_BITS, ip);
        const uint8_t *earlier = page + *place;
        *place = (uint16_t)(ip - page);
        if (little32(earlier) != little32(ip)) {
            ip += 1 + ((ip - plain) >> NOISE_PATIENCE);
            continue;
        }
        size_t length = 4 + same_bytes(earlier + 4, ip + 4, page + bytes);
        saved += length - 3; /* a copy takes about so much */
        plain = ip += length;
    }
    return saved < NOISE_SAVED;
}

#endif
