/* Words of memory, and bytes that are alike: what compressors ask all the time. */

#ifndef VMEMMAP_WORDS_H
#define VMEMMAP_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t little64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint32_t little32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static inline void copy8(uint8_t *to, const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, 8);
    memcpy(to, &value, 8);
}

static inline void copy16(uint8_t *to, const uint8_t *from) {
    copy8(to, from);
    copy8(to + 8, from + 8);
}

/* Give how many bytes are the same at two places, the later of which must stay before *end*. */
static inline size_t same_bytes(const uint8_t *earlier, const uint8_t *later, const uint8_t *end) {
    const uint8_t *from = later;
    for (; end - later >= 8; earlier += 8, later += 8) {
        uint64_t differ = little64(earlier) ^ little64(later);
        if (differ)
            return (size_t)(later - from) + ((size_t)__builtin_ctzll(differ) >> 3);
    }
    for (; later < end && *earlier == *later; earlier++)
        later++;
    return (size_t)(later - from);
}

/* Give where the table has the place at which these five bytes were seen last. Five, not the four
 * that a copy must have: of the words of memory, which are mostly zeros, fewer then look alike. */
static inline uint16_t *place_of(uint16_t *table, int bits, const uint8_t *at) {
    return table + ((little64(at) << 24) * 0x9E3779B185EBCA87u >> (64 - bits));
}

/* Tell whether *bytes* bytes, a multiple of 64, are all zero. */
static inline int all_zero(const uint8_t *data, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) {
        uint64_t any = 0, word;
        for (int i = 0; i < 64; i += 8) {
            memcpy(&word, data + at + i, 8);
            any |= word;
        }
        if (any)
            return 0;
    }
    return 1;
}

#endif
