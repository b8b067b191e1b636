/* The state of a pass over struct pages, and what can be done with it. */

#ifndef VMEMMAP_ONE_PASS_H
#define VMEMMAP_ONE_PASS_H

#include "pieces.h"

#define KINDS 16               /* kinds that a page can have, at most */
#define ORDERS 40              /* orders that a free block can have, at most */
#define COMBINATIONS (1 << 14) /* combinations of members, at most */
#define SLOTS (1 << 16)        /* of the hash, a power of two */

/* Marks of a combination, as vmemmap.pages.rules.Mark has them, and one of our own. */
enum { TAIL = 1, HEAD = 2, FREE = 4, WILD = 8, RESERVED = 16, FAILED_TAIL = 32, PLAIN = 64 };

/* What is counted of a combination. `blocks` has a number and a sum of pages each for free blocks,
 * compounds, and compounds whose second page marks them as huge; `orders` the free blocks. */
typedef struct {
    int64_t kinds[KINDS];
    int64_t seen;
    int64_t blocks[6];
    int64_t orders[ORDERS];
} Counts;

/* Pages in a row that are of one kind and zone. */
typedef struct {
    int64_t first;
    int32_t pages;
    uint16_t zone, kind;
} Run;

typedef struct {
    uint64_t flags, tag;
    uint32_t type;
    uint16_t zone;
    uint8_t kind, marks, seen;
} Combination;

/* Where a number is in a struct page, and which bits of it count. */
typedef struct {
    int at, width;
    uint64_t mask;
} Word;

typedef struct {
    PyObject_HEAD
    /* The struct page. Masks that are tested page by page are as they lie in memory. */
    int size, swap;
    int flags_at, mapping_at, type_at, head_at, private_at;
    uint64_t flag_mask, mapping_mask, tail_mask, tail_flag, head_tag;
    uint32_t type_sign;
    Word order, dtor;
    uint64_t dtor_value;
    int has_dtor, orders, max_order;
    int kind_free, kind_other, kind_tail, kind_huge;
    uint64_t base;
    /* What makedumpfile would leave out, and what it sees in a huge page. */
    int excludes, huge_seen;
    int64_t end_pfn;
    int64_t *ranges;
    Py_ssize_t range_count;
    PyObject *learn, *reach;
    /* What has been met and counted. */
    Combination *known;
    int known_count;
    uint16_t *slots;
    Counts *total, *window;
    int *touched, touched_count;
    int64_t heads, window_heads;
    /* The run, the block and the place that the pass is in. */
    uint64_t run_flags, run_tag, run_head, run_head_mask;
    uint32_t run_type;
    int run, run_marks;
    int64_t run_start;
    int64_t free_begin, free_end, comp_begin, comp_end;
    int comp_kind;
    uint64_t comp_word, comp_head;
    int64_t huge_at;
    int64_t next_pfn;
    Pieces pieces;
    int64_t stretch_start, stretch_end;
    /* Where kinds, orders and heads of single pages go, if anywhere. */
    uint8_t *kind_out;
    int8_t *order_out;
    uint64_t *head_out;
    int64_t out_first;
    /* Where what may be left out goes, if anywhere: start, end as free, end else, what is seen. */
    int64_t *event_out;
    Py_ssize_t event_count, event_room;
    int wants_events;
    /* Where runs go, if anywhere; those below *run_floor* are of windows before this one. */
    Run *run_out;
    Py_ssize_t run_count, run_floor, run_room;
    int wants_runs;
} Pass;

/* Go over the struct pages of [pfn, end). Gives 1, 0 where they need care, -1 on error. */
int pass_stretch(Pass *self, int64_t pfn, int64_t end);

/* Keep what was counted of a window, or let go of it. */
void pass_settle(Pass *self, int keep);

/* Begin afresh: no run, no block. */
void pass_forget(Pass *self);

extern PyType_Spec pass_spec;

#endif
