/* Where in an array of struct pages the next one is another combination of members. */

#ifndef VMEMMAP_BORDERS_H
#define VMEMMAP_BORDERS_H

#include <stddef.h>
#include <stdint.h>

#define BATCH 128 /* struct pages that are looked at together, at most; they stay in the cache */

/* What of a struct page is compared: places in it, and masks as they lie in memory. */
typedef struct {
    int size, flags_at, mapping_at, type_at, head_at;
    uint64_t flag_mask, mapping_mask, tail_mask;
    int type_shift; /* to the left, until the sign of a type is the sign of the word */
    /* The same in two pieces of 32 bytes, the second of which has the type; see `compare_wide`. */
    int wide, piece_at[2];
    uint8_t piece_mask[2][32], type_mask[32];
} Compared;

/* Compare by pieces from now on, if two have all, and if this processor compares so much at once. */
void compare_wide(Compared *how);

/* Find the struct pages that differ from the one before them.
 *
 * before: the one before the first, or NULL if there is none: then the first differs.
 * page, rows: the struct pages, at most BATCH.
 * ahead: how many bytes from each of them lies what will be wanted soon.
 * out: where their numbers go, room for one more than there are.
 *
 * Gives how many there are. */
int find_borders(const Compared *how, const uint8_t *before, const uint8_t *page, int rows,
                 ptrdiff_t ahead, uint16_t *out);

#endif
