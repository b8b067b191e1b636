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

#define AROUND 65536 /* bytes that Linux maps around one that was asked for */
#define AHEAD_BYTES (BATCH * 64) /* what is asked for ahead comes while runs are counted */

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

/* Every bit of a factor has a part in the highest bits of the product. */
static inline uint32_t slot_of(uint64_t flags, uint64_t tag, uint32_t type) {
    uint64_t mixed = flags * UINT64_C(0x9E3779B97F4A7C15) ^ tag * UINT64_C(0xC2B2AE3D27D4EB4F) ^
                     type * UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(mixed >> (64 - SLOT_BITS));
}

/* What is told apart of a struct page: flags with the mark of a tail, sort of mapping, type. */
typedef struct {
    uint64_t flags, tag;
    uint32_t type;
} Key;

static inline Key key_at(const Pass *self, const uint8_t *page) {
    uint64_t tail = load64(page + self->how.head_at) & self->how.tail_mask;
    uint32_t type = load32(page + self->how.type_at);
    return (Key){(load64(page + self->how.flags_at) & self->how.flag_mask) | tail,
                 load64(page + self->how.mapping_at) & self->how.mapping_mask,
                 type & self->type_sign ? type : 0};
}

/* Give the combination of a key, or -1; *slot is where it is or ought to be. */
static inline int find(const Pass *self, Key key, uint32_t *slot) {
    uint32_t at = slot_of(key.flags, key.tag, key.type);
    int found;
    while ((found = self->slots[at]) != 0) {
        const Combination *known = self->known + found - 1;
        if (known->flags == key.flags && known->tag == key.tag && known->type == key.type)
            break;
        at = (at + 1) & (SLOTS - 1);
    }
    *slot = at;
    return found - 1;
}

/* Ask what a combination is that has not been met before; -1 where that cannot be kept, -2 on error. */
static int learn(Pass *self, Key key, uint32_t slot) {
    if (self->known_count == COMBINATIONS)
        return -1;
    uint64_t said = as_in_memory(self, key.flags), mapping = as_in_memory(self, key.tag);
    uint32_t value = self->swap ? __builtin_bswap32(key.type) : key.type;
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
    int alone = seen && self->excludes && !(marks & (FREE | HEAD));
    self->known[found] =
        (Combination){key.flags,      key.tag,        key.type,      (uint16_t)zone,
                      (uint8_t)kind,  (uint8_t)marks, (uint8_t)seen, (uint8_t)alone};
    self->slots[slot] = (uint16_t)(found + 1);
    return found;
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

/* Count the pages of [start, end) that the dump's memory ranges have; keep the first range. */
static int64_t in_ranges(Pass *self, int64_t start, int64_t end) {
    int64_t pages = 0;
    Py_ssize_t first = first_range(self, start);
    if (first < self->range_count)
        self->range_start = self->ranges[2 * first], self->range_end = self->ranges[2 * first + 1];
    for (Py_ssize_t at = first; at < self->range_count && self->ranges[2 * at] < end; at++) {
        int64_t from = self->ranges[2 * at], to = self->ranges[2 * at + 1];
        pages += (to < end ? to : end) - (from > start ? from : start);
    }
    return pages;
}

/* Give how many pages of [start, end) the dump's memory ranges have: mostly all, in the last range. */
static inline int64_t in_memory(Pass *self, int64_t start, int64_t end) {
    if (start >= self->range_start && end <= self->range_end)
        return end - start;
    return in_ranges(self, start, end);
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
    if (self->run < 0)
        return 1;
    const Combination *said = self->known + self->run;
    Counts *counts = counts_of(self, self->run);
    if (said->alone) {
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

/* Give from which page on runs that begin there and end in this batch lie in no block, and all of
 * them in one range of the dump's memory: such runs are only added up. */
static int64_t plain_from(const Pass *self, int64_t end) {
    int64_t from = self->free_end > self->comp_end ? self->free_end : self->comp_end;
    if (!self->only_counts || end > self->range_end)
        return INT64_MAX;
    return from > self->range_start ? from : self->range_start;
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
    uint64_t order = as_in_memory(self, load64(page + self->private_at));
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
    const uint8_t *second = page_at(&self->pieces, self->how.size, pfn + 1, room);
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
    uint64_t address = self->base + (uint64_t)pfn * (uint64_t)self->how.size;
    self->comp_word = as_in_memory(self, address | self->head_tag), self->comp_head = (uint64_t)pfn;
    return weigh(self, pfn, pages, huge ? 2 : 1, said->seen | (huge ? self->huge_seen : 0));
}

/* Ask of the head before this stretch that its first page names as its compound's. */
static int reach(Pass *self, int64_t pfn, uint64_t head) {
    uint64_t into = as_in_memory(self, head) - self->head_tag - self->base;
    if (into % (uint64_t)self->how.size || into / (uint64_t)self->how.size >= (uint64_t)pfn)
        return 0;
    PyObject *answer = PyObject_CallFunction(self->reach, "K", into / (uint64_t)self->how.size);
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
    self->comp_head = into / (uint64_t)self->how.size;
    self->comp_kind = kind == self->kind_other ? self->kind_tail : kind;
    return 1;
}

/* Look at a page by itself: the head of a block, or one that may be wild. */
static int special(Pass *self, const uint8_t *page, int64_t pfn) {
    int marks = self->run_marks;
    if (marks & WILD && load64(page + self->how.mapping_at) != 0)
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

/* Give the combination of a page that has not been met before; -1 where the window needs care, -2 on
 * error. */
static int meet(Pass *self, const uint8_t *page) {
    uint32_t slot;
    Key key = key_at(self, page);
    int found = find(self, key, &slot); /* another page of this batch may have been like it */
    return found < 0 ? learn(self, key, slot) : found;
}

/* Look at the tails of a run: all of them name the compound that they lie in. */
static int tails(Pass *self, const uint8_t *page, int64_t pfn, int64_t rows) {
    if (self->run_marks & FAILED_TAIL)
        return 0;
    page += self->how.head_at;
    if (pfn < self->comp_begin || pfn >= self->comp_end) {
        int fine = pfn == self->stretch_start ? reach(self, pfn, load64(page)) : 0;
        if (fine <= 0)
            return fine;
    }
    uint64_t differ = 0;
    for (int64_t row = 0; row < rows; row++, page += self->how.size)
        differ |= load64(page) ^ self->comp_word;
    return differ == 0;
}

/* Look at those of a run's pages that have to be looked at one by one. */
static inline int look(Pass *self, const uint8_t *page, int64_t pfn, int64_t rows) {
    int fine = 1;
    if (self->run_marks & TAIL)
        return tails(self, page, pfn, rows);
    if (self->run_marks & (FREE | HEAD | WILD))
        for (int64_t row = 0; row < rows && fine > 0; row++)
            fine = special(self, page + row * self->how.size, pfn + row);
    return fine;
}

/* Go over *rows* struct pages, at most BATCH, that lie one behind the other. */
static int go_over(Pass *self, const uint8_t *page, int64_t pfn, int rows, ptrdiff_t ahead) {
    uint16_t starts[BATCH + 1];
    int which[BATCH];
    const int size = self->how.size;
    int count = find_borders(&self->how, self->before, page, rows, ahead, starts);
    starts[count] = (uint16_t)rows;
    /* All at once, so that one need not wait for what is then made of the one before. */
    for (int i = 0; i < count; i++) {
        uint32_t slot;
        which[i] = find(self, key_at(self, page + starts[i] * size), &slot);
    }
    int fine = starts[0] ? look(self, page, pfn, starts[0]) : 1;
    int64_t from = plain_from(self, pfn + rows);
    for (int i = 0; i < count && fine > 0; i++) {
        int64_t start = pfn + starts[i];
        if (self->run_start >= from) {
            self->plain[self->run] += start - self->run_start;
        } else {
            fine = close_run(self, start);
            from = plain_from(self, pfn + rows);
        }
        int run = which[i] >= 0 ? which[i] : meet(self, page + starts[i] * size);
        if (run < 0)
            return run + 1;
        self->run = run, self->run_start = start, self->run_marks = self->known[run].marks;
        if (self->run_marks & (TAIL | FREE | HEAD | WILD) && fine > 0) {
            fine = look(self, page + starts[i] * size, start, starts[i + 1] - starts[i]);
            from = plain_from(self, pfn + rows);
        }
    }
    return fine;
}

/* Go over *rows* struct pages that lie one behind the other. */
static int go_over_piece(Pass *self, const uint8_t *page, int64_t pfn, int64_t rows) {
    const int size = self->how.size;
    const uint8_t *end = page + rows * size, *next = next_piece(&self->pieces);
    const int last = AHEAD_BYTES / size;
    int fine = 1;
    while (page != end && fine > 0) {
        int64_t left = (end - page) / size;
        int64_t now = left > last ? left - last : left;
        ptrdiff_t ahead = AHEAD_BYTES;
        if (left <= last && next != NULL)
            ahead = (ptrdiff_t)((uintptr_t)next - (uintptr_t)page);
        now = now > BATCH ? BATCH : now;
        fine = go_over(self, page, pfn, (int)now, ahead);
        page += now * size, pfn += now, self->before = page - size;
    }
    return fine;
}

static void forget_run(Pass *self) {
    self->run = -1, self->run_marks = 0, self->run_start = -1, self->huge_at = -1, self->before = NULL;
}

static void forget_blocks(Pass *self) {
    self->free_begin = self->free_end = self->comp_begin = self->comp_end = 0;
}

void pass_forget(Pass *self) {
    forget_run(self);
    forget_blocks(self);
    self->next_pfn = -1;
}

/* Have the struct pages up to *end* mapped that are not so yet. Together that takes half the time: a
 * fault in the middle of the pass ends all that the processor looks ahead. */
static void map_ahead(const Pass *self, int64_t pfn, int64_t end) {
    const int size = self->how.size;
    for (Py_ssize_t i = self->pieces.at; i < self->pieces.count; i++) {
        const int64_t *span = self->pieces.spans + 3 * i;
        int64_t from = pfn * size > span[0] ? pfn * size - span[0] : 0;
        int64_t to = end * size < span[0] + span[1] ? end * size - span[0] : span[1];
        if (to <= 0)
            break;
        for (int64_t at = from; at < to; at += AROUND)
            *(const volatile uint8_t *)(self->pieces.data + span[2] + at);
    }
}

int pass_stretch(Pass *self, int64_t pfn, int64_t end) {
    uint8_t room[SIZE_MAX_PAGE];
    forget_run(self);
    if (pfn != self->next_pfn)
        forget_blocks(self);
    self->stretch_start = pfn, self->stretch_end = end;
    map_ahead(self, pfn, end);
    self->only_counts = self->kind_out == NULL && !self->wants_events && !self->wants_runs;
    while (pfn < end) {
        int64_t rows;
        const uint8_t *page = pages_at(&self->pieces, self->how.size, pfn, end - pfn, room, &rows);
        int fine = page == NULL ? 0 : go_over_piece(self, page, pfn, rows);
        if (fine <= 0)
            return fine;
        pfn += rows;
        if (page == room) { /* which the next one may be put into */
            memcpy(self->joined, room, (size_t)self->how.size);
            self->before = self->joined;
        }
    }
    int fine = close_run(self, end);
    if (fine <= 0 || self->free_end > end)
        return fine < 0 ? -1 : 0;
    self->next_pfn = end;
    return 1;
}

/* Count the runs that were only added up as `close_run` would have done. */
static void count_plain(Pass *self) {
    for (int which = 0; which < self->known_count; which++) {
        int64_t pages = self->plain[which];
        if (pages == 0)
            continue;
        Counts *counts = counts_of(self, which);
        counts->kinds[self->known[which].kind] += pages;
        counts->seen += self->known[which].alone ? pages : 0;
        self->plain[which] = 0;
    }
}

void pass_settle(Pass *self, int keep) {
    count_plain(self);
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
