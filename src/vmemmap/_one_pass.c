/* One pass over the struct pages of a dump: what they say, counted, without a word of Python a page.
 *
 * It knows no kernel. Where the members of a struct page are, and what a head says of its block, it
 * is told; what a page with certain members is, it asks once for each combination of them that it
 * meets (`learn`), and finds again by a hash. So every rule stays in Python, in one place.
 *
 * It counts sound stretches of struct pages only. Whatever is damaged or out of the ordinary makes
 * it leave the whole window, uncounted, to the careful way (vmemmap/pages/blocks.py), which is also
 * what its answers are tested against.
 *
 *     struct pages    F . . .  C C  H t t t  .      F heads a free block of 4, H a compound of 4
 *     runs of one     |F|...|  |CC| |H|ttt| |.|
 *     combination
 *     counted         4 free   2    1 + 3 as H     1
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIZE_MAX_PAGE 256      /* bytes in a struct page, at most */
#define KINDS 16               /* kinds that a page can have, at most */
#define COMBINATIONS (1 << 14) /* combinations of members, at most */
#define SLOTS (1 << 16)        /* of the hash, a power of two */

/* Marks of a combination, as vmemmap.pages.rules.Mark has them, and one of our own. */
enum { TAIL = 1, HEAD = 2, FREE = 4, WILD = 8, RESERVED = 16, FAILED_TAIL = 32, PLAIN = 64 };

/* What is counted of a combination. `blocks` has a number and a sum of pages each for free blocks,
 * compounds, and compounds whose second page marks them as huge. */
typedef struct {
    int64_t kinds[KINDS];
    int64_t seen;
    int64_t blocks[6];
} Counts;

typedef struct {
    uint64_t flags, tag;
    uint32_t type;
    uint8_t kind, marks, seen;
} Combination;

/* Where a number is in a struct page, and which bits of it count. */
typedef struct {
    int at, width;
    uint64_t mask;
} Word;

/* Where struct pages lie: spans of position from the base, bytes, and offset in the data. */
typedef struct {
    const uint8_t *data;
    const int64_t *spans;
    Py_ssize_t count, at;
} Pieces;

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
    int64_t *free_orders, *window_orders;
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
} Pass;

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

/* Give an unsigned number of 1, 2, 4 or 8 bytes. */
static uint64_t number(const Pass *self, const uint8_t *at, int width) {
    uint64_t value = 0;
    int little = self->swap ^ (PY_LITTLE_ENDIAN != 0);
    for (int i = 0; i < width; i++)
        value |= (uint64_t)at[i] << 8 * (little ? i : width - 1 - i);
    return value;
}

static uint64_t word_of(const Pass *self, const uint8_t *page, const Word *word) {
    return number(self, page + word->at, word->width) & word->mask;
}

static uint64_t as_in_memory(const Pass *self, uint64_t value) {
    return self->swap ? __builtin_bswap64(value) : value;
}

/* ------------------------------------------------------------------ pieces */

/* Give the struct page of *pfn*, put together in *room* where it lies in two pieces; or NULL. */
static const uint8_t *page_at(const Pieces *pieces, int size, int64_t pfn, uint8_t *room) {
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
static const uint8_t *pages_at(Pieces *pieces, int size, int64_t pfn, int64_t most, uint8_t *room,
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

/* ------------------------------------------------------------------ combinations */

static inline uint32_t slot_of(uint64_t flags, uint64_t tag, uint32_t type) {
    uint64_t mixed = (flags ^ (flags >> 32)) * UINT64_C(0x9E3779B97F4A7C15);
    mixed ^= (tag ^ (tag >> 32) ^ ((uint64_t)type << 17)) * UINT64_C(0xC2B2AE3D27D4EB4F);
    mixed ^= mixed >> 29;
    mixed *= UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(mixed >> 40) & (SLOTS - 1);
}

/* Ask what a combination is that has not been met before; -1 where that cannot be kept, -2 on error. */
static int learn(Pass *self, uint64_t flags, uint64_t tag, uint32_t type, uint32_t slot) {
    if (self->known_count == COMBINATIONS)
        return -1;
    uint64_t said = as_in_memory(self, flags), mapping = as_in_memory(self, tag);
    uint32_t value = self->swap ? __builtin_bswap32(type) : type;
    PyObject *answer = PyObject_CallFunction(self->learn, "KKk", (unsigned long long)said,
                                             (unsigned long long)mapping, (unsigned long)value);
    if (answer == NULL)
        return -2;
    int kind, marks, seen;
    int fine = PyArg_ParseTuple(answer, "iii", &kind, &marks, &seen);
    Py_DECREF(answer);
    if (!fine)
        return -2;
    if (kind < 0)
        return -1;
    if (kind >= KINDS) {
        PyErr_SetString(PyExc_ValueError, "a kind is out of range");
        return -2;
    }
    int found = self->known_count++;
    /* Only in such a page, behind the head of a free block, does nothing else matter. */
    if (kind == self->kind_other && seen == 0 && marks == 0)
        marks = PLAIN;
    self->known[found] = (Combination){flags, tag, type, (uint8_t)kind, (uint8_t)marks, (uint8_t)seen};
    self->slots[slot] = (uint16_t)(found + 1);
    return found;
}

static inline int find(Pass *self, uint64_t flags, uint64_t tag, uint32_t type) {
    uint32_t slot = slot_of(flags, tag, type);
    for (;;) {
        int found = self->slots[slot];
        if (found == 0)
            return learn(self, flags, tag, type, slot);
        const Combination *known = self->known + found - 1;
        if (known->flags == flags && known->tag == tag && known->type == type)
            return found - 1;
        slot = (slot + 1) & (SLOTS - 1);
    }
}

/* ------------------------------------------------------------------ counting */

static inline Counts *counts_of(Pass *self, int which) {
    Counts *counts = self->window + which;
    if (counts->kinds[KINDS - 1] == 0) { /* the last kind is never used: here it says "touched" */
        counts->kinds[KINDS - 1] = 1;
        self->touched[self->touched_count++] = which;
    }
    return counts;
}

/* Give the first memory range that ends behind a page. */
static Py_ssize_t first_range(const Pass *self, int64_t pfn) {
    Py_ssize_t low = 0, high = self->range_count;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (self->ranges[2 * middle + 1] <= pfn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Give how many pages of [start, end) the dump's memory ranges have. */
static int64_t in_memory(const Pass *self, int64_t start, int64_t end) {
    int64_t pages = 0;
    for (Py_ssize_t at = first_range(self, start);
         at < self->range_count && self->ranges[2 * at] < end; at++) {
        int64_t from = self->ranges[2 * at], to = self->ranges[2 * at + 1];
        pages += (to < end ? to : end) - (from > start ? from : start);
    }
    return pages;
}

static int add_event(Pass *self, int64_t start, int64_t end_free, int64_t end_other, int seen) {
    if (self->event_count == self->event_room) {
        Py_ssize_t room = self->event_room ? 2 * self->event_room : 1024;
        int64_t *more = PyMem_Realloc(self->event_out, (size_t)room * 4 * sizeof(int64_t));
        if (more == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->event_out = more;
        self->event_room = room;
    }
    int64_t *row = self->event_out + 4 * self->event_count++;
    row[0] = start, row[1] = end_free, row[2] = end_other, row[3] = seen;
    return 1;
}

/* Tell of pages that may be left out, as far as they are in the dump's memory. */
static int add_events(Pass *self, int64_t start, int64_t end, int seen) {
    for (Py_ssize_t at = first_range(self, start);
         at < self->range_count && self->ranges[2 * at] < end; at++) {
        int64_t from = self->ranges[2 * at], to = self->ranges[2 * at + 1];
        from = from > start ? from : start, to = to < end ? to : end;
        if (add_event(self, from, to, to, seen) < 0)
            return -1;
    }
    return 1;
}

static inline void give_kind(Pass *self, int64_t start, int64_t end, int kind) {
    if (self->kind_out != NULL)
        memset(self->kind_out + (start - self->out_first), kind, (size_t)(end - start));
}

/* Count the run that ends before *end*. Gives 1, 0 where the window needs care, -1 on error. */
static int close_run(Pass *self, int64_t end) {
    int64_t start = self->run_start;
    if (self->run < 0 || start >= end)
        return 1;
    const Combination *said = self->known + self->run;
    Counts *counts = counts_of(self, self->run);
    if (said->seen && self->excludes && !(said->marks & (FREE | HEAD))) {
        counts->seen += in_memory(self, start, end);
        if (self->wants_events && add_events(self, start, end, said->seen) < 0)
            return -1;
    }
    if (start >= self->free_begin && start < self->free_end) {
        if (!(said->marks & PLAIN))
            return 0;
        int64_t until = end < self->free_end ? end : self->free_end;
        counts->kinds[self->kind_free] += until - start;
        give_kind(self, start, until, self->kind_free);
        start = until;
    }
    if (start < end && start >= self->comp_begin && start < self->comp_end) {
        if (!(said->marks & TAIL))
            return 0;
        int64_t until = end < self->comp_end ? end : self->comp_end;
        counts->kinds[self->comp_kind] += until - start;
        give_kind(self, start, until, self->comp_kind);
        if (self->head_out != NULL)
            for (int64_t pfn = start; pfn < until; pfn++)
                self->head_out[pfn - self->out_first] = self->comp_head;
        start = until;
    }
    if (start < end) {
        if (said->marks & TAIL)
            return 0; /* the tail of no head */
        counts->kinds[said->kind] += end - start;
        give_kind(self, start, end, said->kind);
        if (self->huge_at >= start && self->huge_at < end)
            give_kind(self, self->huge_at, self->huge_at + 1, self->kind_huge);
    }
    return 1;
}

/* ------------------------------------------------------------------ heads */

/* Count what may go together with the head of a block, if it is in the dump's memory. */
static int weigh(Pass *self, int64_t pfn, int64_t pages, int which, int seen) {
    if (!self->excludes || !in_memory(self, pfn, pfn + 1))
        return 1;
    Counts *counts = counts_of(self, self->run);
    int64_t most = self->end_pfn - pfn > 1 ? self->end_pfn - pfn : 1;
    if (pages > most)
        pages = most;
    counts->seen++;
    if (seen && pages > 1) {
        counts->blocks[2 * which]++;
        counts->blocks[2 * which + 1] += pages;
    } else if (which == 2) {
        return 0;
    }
    if (seen && self->wants_events) {
        int64_t single = pfn + 1, end = pfn + pages;
        return add_event(self, pfn, which ? single : end, which ? end : single, seen);
    }
    return 1;
}

static int free_head(Pass *self, const uint8_t *page, int64_t pfn) {
    uint64_t order = number(self, page + self->private_at, 8);
    if (order >= (uint64_t)self->orders || (pfn & ((INT64_C(1) << order) - 1)))
        return 0;
    int64_t end = pfn + (INT64_C(1) << order);
    if (end > self->stretch_end)
        return 0;
    self->window_orders[order]++;
    if (self->order_out != NULL)
        self->order_out[pfn - self->out_first] = (int8_t)order;
    self->free_begin = pfn + 1, self->free_end = end;
    return weigh(self, pfn, end - pfn, 0, self->known[self->run].seen);
}

static int compound_head(Pass *self, int64_t pfn) {
    uint8_t room[SIZE_MAX_PAGE];
    if (pfn + 1 >= self->stretch_end)
        return 0;
    const uint8_t *second = page_at(&self->pieces, self->size, pfn + 1, room);
    if (second == NULL)
        return 0;
    uint64_t order = word_of(self, second, &self->order);
    if (order < 1 || order > (uint64_t)self->max_order || (pfn & ((INT64_C(1) << order) - 1)))
        return 0;
    int64_t pages = INT64_C(1) << order;
    const Combination *said = self->known + self->run;
    int huge = self->has_dtor && word_of(self, second, &self->dtor) == self->dtor_value;
    int kind = huge ? self->kind_huge : said->kind;
    if (huge) { /* its run will count it as what it is by itself */
        Counts *counts = counts_of(self, self->run);
        counts->kinds[said->kind]--;
        counts->kinds[kind]++;
        self->huge_at = pfn;
    }
    self->window_heads++;
    if (self->order_out != NULL)
        self->order_out[pfn - self->out_first] = (int8_t)order;
    self->comp_begin = pfn + 1, self->comp_end = pfn + pages;
    self->comp_kind = kind == self->kind_other ? self->kind_tail : kind;
    uint64_t address = self->base + (uint64_t)pfn * (uint64_t)self->size;
    self->comp_word = as_in_memory(self, address | self->head_tag), self->comp_head = (uint64_t)pfn;
    return weigh(self, pfn, pages, huge ? 2 : 1, said->seen | (huge ? self->huge_seen : 0));
}

/* Ask of the head before this stretch that its first page names as its compound's. */
static int reach(Pass *self, int64_t pfn, uint64_t head) {
    uint64_t into = as_in_memory(self, head) - self->head_tag - self->base;
    if (into % (uint64_t)self->size || into / (uint64_t)self->size >= (uint64_t)pfn)
        return 0;
    PyObject *answer = PyObject_CallFunction(self->reach, "K", into / (uint64_t)self->size);
    if (answer == NULL)
        return -1;
    long long end;
    int kind, fine = PyArg_ParseTuple(answer, "iL", &kind, &end);
    Py_DECREF(answer);
    if (!fine)
        return -1;
    if (kind < 0 || kind >= KINDS - 1 || end <= pfn)
        return 0;
    self->comp_begin = pfn, self->comp_end = end, self->comp_word = head;
    self->comp_head = into / (uint64_t)self->size;
    self->comp_kind = kind == self->kind_other ? self->kind_tail : kind;
    return 1;
}

/* Look at a page by itself: the head of a block, or one that may be wild. */
static int special(Pass *self, const uint8_t *page, int64_t pfn) {
    int marks = self->run_marks;
    if (marks & WILD && load64(page + self->mapping_at) != 0)
        return 0;
    if (!(marks & (FREE | HEAD)))
        return 1;
    int within = pfn < self->free_end || pfn < self->comp_end;
    if (within || (marks & FREE && marks & HEAD))
        return 0;
    /* Heads are counted one by one, since each is in memory or not. */
    return marks & FREE ? free_head(self, page, pfn) : compound_head(self, pfn);
}

/* ------------------------------------------------------------------ the pass */

/* Go over *count* struct pages that lie one behind the other. */
static int go_over(Pass *self, const uint8_t *page, int64_t pfn, int64_t count) {
    const int size = self->size, flags_at = self->flags_at, mapping_at = self->mapping_at;
    const int type_at = self->type_at, head_at = self->head_at;
    const uint64_t flag_mask = self->flag_mask, mapping_mask = self->mapping_mask;
    const uint64_t tail_mask = self->tail_mask, tail_flag = self->tail_flag;
    const uint32_t type_sign = self->type_sign;
    for (const int64_t end = pfn + count; pfn < end; pfn++, page += size) {
        uint64_t flags = load64(page + flags_at) & flag_mask;
        uint64_t head = load64(page + head_at);
        uint64_t tag = load64(page + mapping_at) & mapping_mask;
        uint32_t type = load32(page + type_at);
        type = type & type_sign ? type : 0;
        uint64_t differ = (flags ^ self->run_flags) | (tag ^ self->run_tag) |
                          ((head ^ self->run_head) & self->run_head_mask) |
                          (uint64_t)(type ^ self->run_type);
        if (differ == 0) {
            if (self->run_marks & (FREE | HEAD | WILD)) {
                int fine = special(self, page, pfn);
                if (fine <= 0)
                    return fine;
            }
            continue;
        }
        int fine = close_run(self, pfn);
        if (fine <= 0)
            return fine;
        int tail = tail_flag ? (flags & tail_flag) != 0 : (head & tail_mask) != 0;
        int found = find(self, tail && !tail_flag ? flags | self->tail_mask : flags, tag, type);
        if (found < 0)
            return found + 1;
        self->run = found, self->run_start = pfn, self->run_marks = self->known[found].marks;
        self->run_flags = flags, self->run_tag = tag, self->run_type = type, self->run_head = head;
        self->run_head_mask = tail ? UINT64_MAX : tail_flag ? 0 : tail_mask;
        if (tail) {
            if (self->run_marks & FAILED_TAIL)
                return 0;
            if (pfn < self->comp_begin || pfn >= self->comp_end) {
                fine = pfn == self->stretch_start ? reach(self, pfn, head) : 0;
                if (fine <= 0)
                    return fine;
            }
            if (head != self->comp_word)
                return 0;
        } else if (self->run_marks & (FREE | HEAD | WILD)) {
            fine = special(self, page, pfn);
            if (fine <= 0)
                return fine;
        }
    }
    return 1;
}

static void forget_run(Pass *self) {
    self->run = -1, self->run_marks = 0, self->huge_at = -1;
    self->run_head_mask = 0, self->run_flags = UINT64_MAX; /* no flags have all bits set */
}

static void forget_blocks(Pass *self) {
    self->free_begin = self->free_end = self->comp_begin = self->comp_end = 0;
}

/* Go over the struct pages of [pfn, end), wherever they lie. */
static int stretch(Pass *self, int64_t pfn, int64_t end) {
    uint8_t room[SIZE_MAX_PAGE];
    forget_run(self);
    if (pfn != self->next_pfn)
        forget_blocks(self);
    self->stretch_start = pfn, self->stretch_end = end;
    while (pfn < end) {
        int64_t rows;
        const uint8_t *page = pages_at(&self->pieces, self->size, pfn, end - pfn, room, &rows);
        int fine = page == NULL ? 0 : go_over(self, page, pfn, rows);
        if (fine <= 0)
            return fine;
        pfn += rows;
    }
    int fine = close_run(self, end);
    if (fine <= 0 || self->free_end > end)
        return fine < 0 ? -1 : 0;
    self->next_pfn = end;
    return 1;
}

/* Keep what was counted of a window, or let go of it. */
static void settle(Pass *self, int keep) {
    for (int i = 0; i < self->touched_count; i++) {
        Counts *counts = self->window + self->touched[i], *total = self->total + self->touched[i];
        if (keep) {
            for (int kind = 0; kind < KINDS - 1; kind++)
                total->kinds[kind] += counts->kinds[kind];
            total->seen += counts->seen;
            for (int which = 0; which < 6; which++)
                total->blocks[which] += counts->blocks[which];
        }
        memset(counts, 0, sizeof *counts);
    }
    self->touched_count = 0;
    for (int order = 0; order < self->orders; order++)
        self->free_orders[order] += keep ? self->window_orders[order] : 0;
    memset(self->window_orders, 0, (size_t)self->orders * sizeof(int64_t));
    self->heads += keep ? self->window_heads : 0;
    self->window_heads = 0;
    if (!keep) {
        forget_blocks(self);
        self->next_pfn = -1;
    }
}

/* ------------------------------------------------------------------ from Python */

/* Check that the pieces lie in the data, in order, and do not overlap. */
static int check_spans(const Pieces *pieces, Py_ssize_t data_bytes) {
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

static const char go_doc[] =
    "go(data, spans, stretches, status, kinds=None, orders=None, heads=None, first=0)\n--\n\n"
    "Count windows of struct pages.\n\n"
    "data: the bytes; spans: int64 (n, 3), position from the base, bytes, offset in data, sorted;\n"
    "stretches: int64 (m, 3), number of the window, first pfn, end pfn, sorted by pfn;\n"
    "status: uint8 for each window, set to 1 where it was counted and to 0 where it needs care;\n"
    "kinds, orders, heads: uint8, int8 and uint64 for each pfn from *first* on, filled if given:\n"
    "orders for heads of blocks alone, heads (pfns) for tails alone.";

static PyObject *pass_go(Pass *self, PyObject *args, PyObject *named) {
    static char *names[] = {"data",   "spans",  "stretches", "status", "kinds",
                            "orders", "heads", "first",     NULL};
    Py_buffer data, spans, stretches, status, kinds = {0}, orders = {0}, heads = {0};
    long long first = 0;
    PyObject *kinds_given = Py_None, *orders_given = Py_None, *heads_given = Py_None;
    PyObject *given[4], *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOOO|OOOL:go", names, &given[0], &given[1],
                                     &given[2], &given[3], &kinds_given, &orders_given, &heads_given,
                                     &first))
        return NULL;
    if (PyObject_GetBuffer(given[0], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(given[1], &spans, PyBUF_SIMPLE) < 0)
        goto no_spans;
    if (PyObject_GetBuffer(given[2], &stretches, PyBUF_SIMPLE) < 0)
        goto no_stretches;
    if (PyObject_GetBuffer(given[3], &status, PyBUF_WRITABLE) < 0)
        goto no_status;
    if (kinds_given != Py_None && PyObject_GetBuffer(kinds_given, &kinds, PyBUF_WRITABLE) < 0)
        goto no_kinds;
    if (orders_given != Py_None && PyObject_GetBuffer(orders_given, &orders, PyBUF_WRITABLE) < 0)
        goto no_orders;
    if (heads_given != Py_None && PyObject_GetBuffer(heads_given, &heads, PyBUF_WRITABLE) < 0)
        goto no_heads;
    Py_ssize_t count = stretches.len / 24, windows = status.len;
    const int64_t *rows = stretches.buf;
    self->pieces = (Pieces){data.buf, spans.buf, spans.len / 24, 0};
    self->kind_out = kinds.buf, self->order_out = orders.buf, self->head_out = heads.buf;
    self->out_first = first;
    uint8_t *told = status.buf;
    if (!check_spans(&self->pieces, data.len))
        goto done;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t *row = rows + 3 * i;
        int out = (kinds.buf != NULL && (row[1] < first || row[2] - first > kinds.len)) ||
                  (orders.buf != NULL && (row[1] < first || row[2] - first > orders.len)) ||
                  (heads.buf != NULL && (row[1] < first || row[2] - first > heads.len / 8));
        if (row[0] < 0 || row[0] >= windows || row[1] < 0 || row[2] < row[1] || out ||
            row[2] > INT64_MAX / self->size) {
            PyErr_SetString(PyExc_ValueError, "a stretch of pages lies outside its window");
            goto done;
        }
    }
    for (Py_ssize_t i = 0; i < count;) {
        int64_t window = rows[3 * i];
        Py_ssize_t events = self->event_count;
        int fine = 1;
        for (; i < count && rows[3 * i] == window; i++)
            if (fine > 0)
                fine = stretch(self, rows[3 * i + 1], rows[3 * i + 2]);
        settle(self, fine > 0);
        if (fine <= 0)
            self->event_count = events;
        told[window] = fine > 0;
        if (fine < 0 || PyErr_CheckSignals() < 0)
            goto done;
    }
    result = Py_NewRef(Py_None);
done:
    self->pieces = (Pieces){0};
    self->kind_out = NULL, self->order_out = NULL, self->head_out = NULL;
    if (heads.buf != NULL)
        PyBuffer_Release(&heads);
no_heads:
    if (orders.buf != NULL)
        PyBuffer_Release(&orders);
no_orders:
    if (kinds.buf != NULL)
        PyBuffer_Release(&kinds);
no_kinds:
    PyBuffer_Release(&status);
no_status:
    PyBuffer_Release(&stretches);
no_stretches:
    PyBuffer_Release(&spans);
no_spans:
    PyBuffer_Release(&data);
    return result;
}

static const char copy_doc[] =
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

static PyObject *copy(PyObject *Py_UNUSED(module), PyObject *args) {
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

static const char zero_pages_doc[] =
    "zero_pages(data, spans, page, out)\n--\n\n"
    "Tell which pages are filled with zeros.\n\n"
    "data, spans: as for Pass.go, each span a multiple of *page* bytes; out: a byte for each page of\n"
    "the spans, set to 1 where it is, else to 0.";

static int is_zero(const uint8_t *page, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) {
        uint64_t any = 0;
        for (int i = 0; i < 64; i += 8)
            any |= load64(page + at + i);
        if (any)
            return 0;
    }
    return 1;
}

static PyObject *zero_pages(PyObject *Py_UNUSED(module), PyObject *args) {
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
    for (Py_ssize_t i = 0; i < pieces.count; i++) {
        const int64_t *span = pieces.spans + 3 * i;
        const uint8_t *at = pieces.data + span[2];
        for (int64_t left = span[1]; left >= page; left -= page, at += page) {
            if (out == end) {
                PyErr_SetString(PyExc_ValueError, "there is no room for so many pages");
                goto done;
            }
            *out++ = (uint8_t)is_zero(at, page);
        }
    }
    result = Py_NewRef(Py_None);
done:
    while (held-- > 0)
        PyBuffer_Release(&buffers[held]);
    return result;
}

static PyObject *pass_counts(Pass *self, PyObject *Py_UNUSED(args)) {
    return PyBytes_FromStringAndSize((const char *)self->total,
                                     self->known_count * (Py_ssize_t)sizeof(Counts));
}

static PyObject *pass_free_orders(Pass *self, PyObject *Py_UNUSED(args)) {
    return PyBytes_FromStringAndSize((const char *)self->free_orders, self->orders * 8);
}

static PyObject *pass_heads(Pass *self, PyObject *Py_UNUSED(args)) {
    return PyLong_FromLongLong(self->heads);
}

static PyObject *pass_events(Pass *self, PyObject *Py_UNUSED(args)) {
    PyObject *found = PyBytes_FromStringAndSize((const char *)self->event_out,
                                                self->event_count * 4 * (Py_ssize_t)sizeof(int64_t));
    if (found != NULL)
        self->event_count = 0;
    return found;
}

static int is_inside(const Pass *self, int at, int width) {
    return at >= 0 && width >= 1 && width <= 8 && at + width <= self->size;
}

/* Take in what one kernel's struct page is like; see vmemmap/pages/count/one_pass.py. */
static int pass_init(Pass *self, PyObject *args, PyObject *named) {
    static char *names[] = {"size", "swap", "places", "masks", "order", "dtor", "dtor_value", "orders",
                            "max_order", "kinds", "base", "ranges", "end_pfn", "huge_seen", "events",
                            "learn", "reach", NULL};
    unsigned long long flag_mask, mapping_mask, tail_mask, tail_flag, head_tag, type_sign;
    unsigned long long order_mask, dtor_mask, dtor_value, base;
    long long end_pfn;
    PyObject *ranges, *learner, *reacher;
    if (self->known != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, named, "$ip(iiiii)(KKKKKK)(iiK)(iiK)Kii(iiii)KOLipOO:Pass", names, &self->size,
            &self->swap, &self->flags_at, &self->mapping_at, &self->type_at, &self->head_at,
            &self->private_at, &flag_mask, &mapping_mask, &tail_mask, &tail_flag, &head_tag,
            &type_sign, &self->order.at, &self->order.width, &order_mask, &self->dtor.at,
            &self->dtor.width, &dtor_mask, &dtor_value, &self->orders, &self->max_order,
            &self->kind_free, &self->kind_other, &self->kind_tail, &self->kind_huge, &base, &ranges,
            &end_pfn, &self->huge_seen, &self->wants_events, &learner, &reacher))
        return -1;
    self->flag_mask = flag_mask, self->mapping_mask = mapping_mask, self->tail_mask = tail_mask;
    self->tail_flag = tail_flag, self->head_tag = head_tag, self->type_sign = (uint32_t)type_sign;
    self->order.mask = order_mask, self->dtor.mask = dtor_mask, self->dtor_value = dtor_value;
    self->has_dtor = self->dtor.width > 0, self->base = base, self->end_pfn = end_pfn;
    int fits = self->size >= 8 && self->size <= SIZE_MAX_PAGE && is_inside(self, self->flags_at, 8) &&
               is_inside(self, self->mapping_at, 8) && is_inside(self, self->type_at, 4) &&
               is_inside(self, self->head_at, 8) && is_inside(self, self->private_at, 8) &&
               is_inside(self, self->order.at, self->order.width) &&
               (!self->has_dtor || is_inside(self, self->dtor.at, self->dtor.width));
    int kinds_fit = self->kind_free >= 0 && self->kind_free < KINDS - 1 && self->kind_other >= 0 &&
                    self->kind_other < KINDS - 1 && self->kind_tail >= 0 &&
                    self->kind_tail < KINDS - 1 && self->kind_huge >= 0 && self->kind_huge < KINDS - 1;
    if (!fits || !kinds_fit || self->orders < 1 || self->orders > 40 || self->max_order < 0 ||
        self->max_order > 40) {
        PyErr_SetString(PyExc_ValueError, "a member lies outside the struct page");
        return -1;
    }
    self->excludes = ranges != Py_None;
    if (self->excludes) {
        Py_buffer given;
        if (PyObject_GetBuffer(ranges, &given, PyBUF_SIMPLE) < 0)
            return -1;
        self->range_count = given.len / 16;
        self->ranges = PyMem_Malloc((size_t)given.len + 16);
        if (self->ranges != NULL)
            memcpy(self->ranges, given.buf, (size_t)self->range_count * 16);
        PyBuffer_Release(&given);
    }
    self->known = PyMem_Calloc(COMBINATIONS, sizeof(Combination));
    self->slots = PyMem_Calloc(SLOTS, sizeof(uint16_t));
    self->total = PyMem_Calloc(COMBINATIONS, sizeof(Counts));
    self->window = PyMem_Calloc(COMBINATIONS, sizeof(Counts));
    self->touched = PyMem_Calloc(COMBINATIONS, sizeof(int));
    self->free_orders = PyMem_Calloc((size_t)self->orders, sizeof(int64_t));
    self->window_orders = PyMem_Calloc((size_t)self->orders, sizeof(int64_t));
    if ((self->excludes && self->ranges == NULL) || !self->known || !self->slots || !self->total ||
        !self->window || !self->touched || !self->free_orders || !self->window_orders) {
        PyErr_NoMemory();
        return -1;
    }
    self->learn = Py_NewRef(learner), self->reach = Py_NewRef(reacher);
    self->next_pfn = -1;
    forget_run(self);
    return 0;
}

static int pass_traverse(Pass *self, visitproc visit, void *arg) {
    Py_VISIT(self->learn);
    Py_VISIT(self->reach);
    Py_VISIT(Py_TYPE((PyObject *)self));
    return 0;
}

static int pass_clear(Pass *self) {
    Py_CLEAR(self->learn);
    Py_CLEAR(self->reach);
    return 0;
}

static void pass_free(Pass *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack((PyObject *)self);
    pass_clear(self);
    PyMem_Free(self->ranges);
    PyMem_Free(self->known);
    PyMem_Free(self->slots);
    PyMem_Free(self->total);
    PyMem_Free(self->window);
    PyMem_Free(self->touched);
    PyMem_Free(self->free_orders);
    PyMem_Free(self->window_orders);
    PyMem_Free(self->event_out);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef pass_methods[] = {
    {"go", (PyCFunction)(void (*)(void))pass_go, METH_VARARGS | METH_KEYWORDS, go_doc},
    {"counts", (PyCFunction)pass_counts, METH_NOARGS,
     "counts()\n--\n\nGive what was counted of each combination, in the order of learning."},
    {"free_orders", (PyCFunction)pass_free_orders, METH_NOARGS,
     "free_orders()\n--\n\nGive how many free blocks there are of each order."},
    {"heads", (PyCFunction)pass_heads, METH_NOARGS,
     "heads()\n--\n\nGive how many compounds there are."},
    {"events", (PyCFunction)pass_events, METH_NOARGS,
     "events()\n--\n\nGive, once, the pages that may be left out: int64 (n, 4), first pfn, end if\n"
     "they go as free memory, end if as anything else, what is seen in them."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pass_slots[] = {
    {Py_tp_doc, "One pass over struct pages; see vmemmap/pages/count/one_pass.py."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, pass_init},
    {Py_tp_dealloc, pass_free},
    {Py_tp_traverse, pass_traverse},
    {Py_tp_clear, pass_clear},
    {Py_tp_methods, pass_methods},
    {0, NULL},
};

static PyType_Spec pass_spec = {
    .name = "vmemmap._one_pass.Pass",
    .basicsize = sizeof(Pass),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = pass_slots,
};

static int fill_module(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &pass_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Pass", type) < 0 ||
                 PyModule_AddIntMacro(module, KINDS) < 0 ||
                 PyModule_AddIntConstant(module, "COUNTS", sizeof(Counts) / sizeof(int64_t)) < 0;
    Py_DECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};

static PyMethodDef module_methods[] = {
    {"copy", copy, METH_VARARGS, copy_doc},
    {"zero_pages", zero_pages, METH_VARARGS, zero_pages_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vmemmap._one_pass",
    .m_doc = "The compiled part of vmemmap: one pass over struct pages.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__one_pass(void) { return PyModuleDef_Init(&module); }
