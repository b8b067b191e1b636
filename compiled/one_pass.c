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

#include "one_pass.h"

#define AHEAD_BYTES 3072 /* as far as is asked for ahead; of 1 to 6 KiB the fastest */

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
    int kind, marks, seen, zone;
    int fine = PyArg_ParseTuple(answer, "iiii", &kind, &marks, &seen, &zone);
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
    self->known[found] = (Combination){
        flags, tag, type, (uint16_t)zone, (uint8_t)kind, (uint8_t)marks, (uint8_t)seen};
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

/* Tell of pages in a row of one kind and zone. */
static int add_run(Pass *self, int64_t start, int64_t end, int kind, int zone) {
    Run *last = self->run_out + self->run_count - 1;
    if (self->run_count > self->run_floor && last->kind == kind && last->zone == zone &&
        last->first + last->pages == start && end - last->first <= INT32_MAX) {
        last->pages = (int32_t)(end - last->first);
        return 1;
    }
    if (self->run_count == self->run_room) {
        Py_ssize_t room = self->run_room ? 2 * self->run_room : 1024;
        Run *more = PyMem_Realloc(self->run_out, (size_t)room * sizeof(Run));
        if (more == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->run_out = more;
        self->run_room = room;
    }
    self->run_out[self->run_count++] =
        (Run){start, (int32_t)(end - start), (uint16_t)zone, (uint16_t)kind};
    return 1;
}

/* Tell what pages of the run are, if that is wanted. */
static inline int give_kind(Pass *self, int64_t start, int64_t end, int kind) {
    if (self->kind_out != NULL)
        memset(self->kind_out + (start - self->out_first), kind, (size_t)(end - start));
    return self->wants_runs ? add_run(self, start, end, kind, self->known[self->run].zone) : 1;
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
        if (give_kind(self, start, until, self->kind_free) < 0)
            return -1;
        start = until;
    }
    if (start < end && start >= self->comp_begin && start < self->comp_end) {
        if (!(said->marks & TAIL))
            return 0;
        int64_t until = end < self->comp_end ? end : self->comp_end;
        counts->kinds[self->comp_kind] += until - start;
        if (give_kind(self, start, until, self->comp_kind) < 0)
            return -1;
        if (self->head_out != NULL)
            for (int64_t pfn = start; pfn < until; pfn++)
                self->head_out[pfn - self->out_first] = self->comp_head;
        start = until;
    }
    if (start < end) {
        if (said->marks & TAIL)
            return 0; /* the tail of no head */
        counts->kinds[said->kind] += end - start;
        /* The head of a huge page is a run by itself: what follows it is no head. */
        if (give_kind(self, start, end, self->huge_at == start ? self->kind_huge : said->kind) < 0)
            return -1;
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
    counts_of(self, self->run)->orders[order]++;
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

/* Give the first struct page before *stop* that does not go on with the run. */
static const uint8_t *run_end(const Pass *self, const uint8_t *page, const uint8_t *stop) {
    const int size = self->size, flags_at = self->flags_at, mapping_at = self->mapping_at;
    const int type_at = self->type_at, head_at = self->head_at;
    const uint64_t flag_mask = self->flag_mask, mapping_mask = self->mapping_mask;
    const uint64_t flags = self->run_flags, tag = self->run_tag;
    const uint64_t head = self->run_head, head_mask = self->run_head_mask;
    /* A type of 0 stands for all that do not have the sign of one. */
    const uint32_t type = self->run_type, type_mask = type ? UINT32_MAX : self->type_sign;
    for (; page != stop; page += size) {
        /* Each end of a run is a surprise, after which the processor no longer looks ahead itself. */
        __builtin_prefetch(page + AHEAD_BYTES);
        if (((load64(page + flags_at) & flag_mask) ^ flags) |
            ((load64(page + mapping_at) & mapping_mask) ^ tag) |
            ((load64(page + head_at) ^ head) & head_mask) | ((load32(page + type_at) ^ type) & type_mask))
            break;
    }
    return page;
}

/* Go over *count* struct pages that lie one behind the other. */
static int go_over(Pass *self, const uint8_t *page, int64_t pfn, int64_t count) {
    const int size = self->size, flags_at = self->flags_at, mapping_at = self->mapping_at;
    const int type_at = self->type_at, head_at = self->head_at;
    const uint64_t flag_mask = self->flag_mask, mapping_mask = self->mapping_mask;
    const uint64_t tail_mask = self->tail_mask, tail_flag = self->tail_flag;
    const uint32_t type_sign = self->type_sign;
    const uint8_t *const stop = page + count * size;
    for (; page != stop; pfn++, page += size) {
        if (self->run >= 0 && !(self->run_marks & (FREE | HEAD | WILD))) {
            const uint8_t *from = page;
            page = run_end(self, page, stop);
            pfn += (page - from) / size;
            if (page == stop)
                break;
        }
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

void pass_forget(Pass *self) {
    forget_run(self);
    forget_blocks(self);
    self->next_pfn = -1;
}

int pass_stretch(Pass *self, int64_t pfn, int64_t end) {
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

void pass_settle(Pass *self, int keep) {
    for (int i = 0; i < self->touched_count; i++) {
        Counts *counts = self->window + self->touched[i], *total = self->total + self->touched[i];
        if (keep) {
            for (int kind = 0; kind < KINDS - 1; kind++)
                total->kinds[kind] += counts->kinds[kind];
            total->seen += counts->seen;
            for (int which = 0; which < 6; which++)
                total->blocks[which] += counts->blocks[which];
            if (self->known[self->touched[i]].marks & FREE)
                for (int order = 0; order < ORDERS; order++)
                    total->orders[order] += counts->orders[order];
        }
        memset(counts, 0, sizeof *counts);
    }
    self->touched_count = 0;
    self->heads += keep ? self->window_heads : 0;
    self->window_heads = 0;
    if (!keep)
        pass_forget(self);
}
