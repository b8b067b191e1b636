/* The part of the pass that is done for every struct page, and so without a branch.
 *
 * Of ten struct pages one begins another run, and nobody can tell which: a loop that ends there is
 * a guess of the processor's that fails, for the time of several pages. So what is found is always
 * written, and only how much of it counts depends on what was found.
 */

#include "borders.h"
#include "pieces.h"

/* The members of a page that are compared. */
typedef struct {
    uint64_t flags, mapping, head;
    uint32_t type;
} Seen;

static inline Seen seen_at(const uint8_t *page, int flags_at, int mapping_at, int head_at, int type_at) {
    return (Seen){load64(page + flags_at), load64(page + mapping_at), load64(page + head_at),
                  load32(page + type_at)};
}

/* A type without its sign is a count, and any count is like any other. */
static inline uint64_t differ(const Compared *how, Seen a, Seen b, uint32_t sign) {
    uint32_t whole = (uint32_t)((int32_t)(b.type << how->type_shift) >> 31);
    return ((a.flags ^ b.flags) & how->flag_mask) | ((a.mapping ^ b.mapping) & how->mapping_mask) |
           ((a.head ^ b.head) & how->tail_mask) | ((a.type ^ b.type) & (whole | sign));
}

static inline __attribute__((always_inline)) int borders(const Compared *given, const uint8_t *before,
                                                         const uint8_t *page, int rows, ptrdiff_t ahead,
                                                         uint16_t *out, int size, int flags_at,
                                                         int mapping_at, int head_at, int type_at) {
    const Compared how = *given;
    const uint32_t sign = UINT32_C(0x80000000) >> how.type_shift;
    uint16_t *next = out;
    unsigned row = 0;
    if (before == NULL) {
        *next++ = 0;
        before = page, page += size, row = 1;
    }
    Seen last = seen_at(before, flags_at, mapping_at, head_at, type_at);
    for (; row < (unsigned)rows; row++, page += size) {
        __builtin_prefetch((const void *)((uintptr_t)page + (uintptr_t)ahead));
        Seen here = seen_at(page, flags_at, mapping_at, head_at, type_at);
        *next = (uint16_t)row;
        next += differ(&how, last, here, sign) != 0;
        last = here;
    }
    return (int)(next - out);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

static inline __attribute__((target("avx2"))) __m256i load256(const uint8_t *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

/* The same as `borders`, in fewer steps. */
static __attribute__((target("avx2"))) int wide_borders(const Compared *how, const uint8_t *before,
                                                        const uint8_t *page, int rows, ptrdiff_t ahead,
                                                        uint16_t *out) {
    const __m256i mask = load256(how->piece_mask[0]), mask2 = load256(how->piece_mask[1]);
    const __m256i type_mask = load256(how->type_mask);
    const __m128i shift = _mm_cvtsi32_si128(how->type_shift);
    const ptrdiff_t size = how->size, at = how->piece_at[0], at2 = how->piece_at[1];
    uint16_t *next = out;
    unsigned row = 0;
    if (before == NULL) {
        *next++ = 0;
        before = page, page += size, row = 1;
    }
    __m256i last = load256(before + at), last2 = load256(before + at2);
    for (; row < (unsigned)rows; row++, page += size) {
        __builtin_prefetch((const void *)((uintptr_t)page + (uintptr_t)ahead));
        __m256i here = load256(page + at), here2 = load256(page + at2);
        __m256i sign = _mm256_srai_epi32(_mm256_sll_epi32(here2, shift), 31);
        __m256i whole = _mm256_or_si256(_mm256_and_si256(sign, type_mask), mask2);
        __m256i differ = _mm256_or_si256(_mm256_and_si256(_mm256_xor_si256(here, last), mask),
                                         _mm256_and_si256(_mm256_xor_si256(here2, last2), whole));
        *next = (uint16_t)row;
        next += !_mm256_testz_si256(differ, differ);
        last = here, last2 = here2;
    }
    return (int)(next - out);
}

static int compares_wide(void) { return __builtin_cpu_supports("avx2"); }
#else
static int wide_borders(const Compared *how, const uint8_t *before, const uint8_t *page, int rows,
                        ptrdiff_t ahead, uint16_t *out) {
    return find_borders(how, before, page, rows, ahead, out);
}
static int compares_wide(void) { return 0; }
#endif

/* Put the mask of a member into the first piece that has room for all of it. */
static int put(Compared *how, int first, int at, const void *mask, int width) {
    for (int i = first; i < 2; i++) {
        int into = at - how->piece_at[i];
        if (into >= 0 && into + width <= 32) {
            memcpy(how->piece_mask[i] + into, mask, (size_t)width);
            return 1;
        }
    }
    return 0;
}

void compare_wide(Compared *how) {
    const uint32_t sign = UINT32_C(0x80000000) >> how->type_shift;
    if (how->size < 32 || !compares_wide())
        return;
    int last = how->size - 32, second = how->type_at + 4 - 32;
    int first = how->flags_at < how->head_at ? how->flags_at : how->head_at;
    how->piece_at[0] = first < last ? first : last;
    how->piece_at[1] = second < 0 ? 0 : second;
    memset(how->piece_mask, 0, sizeof how->piece_mask);
    memset(how->type_mask, 0, sizeof how->type_mask);
    memset(how->type_mask + how->type_at - how->piece_at[1], 0xFF, 4);
    how->wide = put(how, 0, how->flags_at, &how->flag_mask, 8) &&
                put(how, 0, how->mapping_at, &how->mapping_mask, 8) &&
                put(how, 0, how->head_at, &how->tail_mask, 8) &&
                put(how, 1, how->type_at, &sign, 4);
}

int find_borders(const Compared *how, const uint8_t *before, const uint8_t *page, int rows,
                 ptrdiff_t ahead, uint16_t *out) {
    if (how->wide)
        return wide_borders(how, before, page, rows, ahead, out);
    /* As nearly all kernels have it: places that the compiler knows leave it registers for the rest. */
    if (how->size == 64 && how->flags_at == 0 && how->mapping_at == 24 && how->head_at == 8 &&
        how->type_at == 48)
        return borders(how, before, page, rows, ahead, out, 64, 0, 24, 8, 48);
    return borders(how, before, page, rows, ahead, out, how->size, how->flags_at, how->mapping_at,
                   how->head_at, how->type_at);
}
