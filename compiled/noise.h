/* Noise: pages that compressors find nothing to copy in, told apart in a fraction of their time. */

#ifndef VMEMMAP_NOISE_H
#define VMEMMAP_NOISE_H

#include "copies.h"

#define NOISE_TABLE_BITS 10 /* 2 KiB: a page is not worth clearing more */
#define NOISE_TAIL 16       /* bytes at the end that are not looked at, so that loads stay inside */
#define NOISE_FAR 65536     /* any copy from within the page */
#define NOISE_PATIENCE 7    /* each 128 bytes without a copy make the steps longer */
#define NOISE_SAVED 16      /* bytes that copies have to save: a compressed form's own headers */

/* Tell whether copies from within a page of at most 64 KiB would hardly make it smaller. */
static inline int is_noise(const uint8_t *page, size_t bytes) {
    uint16_t table[1 << NOISE_TABLE_BITS] = {0};
    const uint8_t *ip = page + 1, *plain = page, *end = page + bytes;
    for (size_t saved = 0; saved < NOISE_SAVED;) {
        Copy copy = next_copy(page, ip, end - NOISE_TAIL, end, plain, NOISE_FAR, NOISE_PATIENCE,
                              table, NOISE_TABLE_BITS);
        if (copy.length == 0)
            return 1;
        saved += copy.length - 3; /* a copy takes about so much */
        ip = plain = copy.to + copy.length;
    }
    return 0;
}

#endif
