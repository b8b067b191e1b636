/* The pass over struct pages as a Python type. */

#include "one_pass.h"

static const char go_doc[] =
    "go(data, spans, stretches, status, kinds=None, orders=None, heads=None, first=0,"
    " runs=False)\n--\n\n"
    "Count windows of struct pages.\n\n"
    "data: the bytes; spans: int64 (n, 3), position from the base, bytes, offset in data, sorted;\n"
    "stretches: int64 (m, 3), number of the window, first pfn, end pfn, sorted by pfn;\n"
    "status: uint8 for each window, set to 1 where it was counted and to 0 where it needs care;\n"
    "kinds, orders, heads: uint8, int8 and uint64 for each pfn from *first* on, filled if given:\n"
    "orders for heads of blocks alone, heads (pfns) for tails alone; runs: whether they are kept.";

static PyObject *pass_go(Pass *self, PyObject *args, PyObject *named) {
    static char *names[] = {"data",   "spans",  "stretches", "status", "kinds",
                            "orders", "heads", "first",     "runs",   NULL};
    Py_buffer data, spans, stretches, status, kinds = {0}, orders = {0}, heads = {0};
    long long first = 0;
    PyObject *kinds_given = Py_None, *orders_given = Py_None, *heads_given = Py_None;
    PyObject *given[4], *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOOO|OOOLp:go", names, &given[0], &given[1],
                                     &given[2], &given[3], &kinds_given, &orders_given, &heads_given,
                                     &first, &self->wants_runs))
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
        self->run_floor = self->run_count;
        int fine = 1;
        for (; i < count && rows[3 * i] == window; i++)
            if (fine > 0)
                fine = pass_stretch(self, rows[3 * i + 1], rows[3 * i + 2]);
        pass_settle(self, fine > 0);
        if (fine <= 0)
            self->event_count = events, self->run_count = self->run_floor;
        told[window] = fine > 0;
        if (fine < 0 || PyErr_CheckSignals() < 0)
            goto done;
    }
    result = Py_NewRef(Py_None);
done:
    self->pieces = (Pieces){0};
    self->kind_out = NULL, self->order_out = NULL, self->head_out = NULL;
    self->wants_runs = 0;
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

static PyObject *pass_counts(Pass *self, PyObject *Py_UNUSED(args)) {
    return PyBytes_FromStringAndSize((const char *)self->total,
                                     self->known_count * (Py_ssize_t)sizeof(Counts));
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

static PyObject *pass_runs(Pass *self, PyObject *Py_UNUSED(args)) {
    PyObject *found = PyBytes_FromStringAndSize((const char *)self->run_out,
                                                self->run_count * (Py_ssize_t)sizeof(Run));
    if (found != NULL)
        self->run_count = 0;
    return found;
}

static int is_inside(const Pass *self, int at, int width) {
    return at >= 0 && width >= 1 && width <= 8 && at + width <= self->size;
}

/* Take in what one kernel's struct page is like; see vmemmap/pages/one_pass.py. */
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
    if (!fits || !kinds_fit || self->orders < 1 || self->orders > ORDERS || self->max_order < 0 ||
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
    if ((self->excludes && self->ranges == NULL) || !self->known || !self->slots || !self->total ||
        !self->window || !self->touched) {
        PyErr_NoMemory();
        return -1;
    }
    self->learn = Py_NewRef(learner), self->reach = Py_NewRef(reacher);
    pass_forget(self);
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
    PyMem_Free(self->event_out);
    PyMem_Free(self->run_out);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef pass_methods[] = {
    {"go", (PyCFunction)(void (*)(void))pass_go, METH_VARARGS | METH_KEYWORDS, go_doc},
    {"counts", (PyCFunction)pass_counts, METH_NOARGS,
     "counts()\n--\n\nGive what was counted of each combination, in the order of learning."},
    {"heads", (PyCFunction)pass_heads, METH_NOARGS,
     "heads()\n--\n\nGive how many compounds there are."},
    {"events", (PyCFunction)pass_events, METH_NOARGS,
     "events()\n--\n\nGive, once, the pages that may be left out: int64 (n, 4), first pfn, end if\n"
     "they go as free memory, end if as anything else, what is seen in them."},
    {"runs", (PyCFunction)pass_runs, METH_NOARGS,
     "runs()\n--\n\nGive, once, the runs of counted pages that were kept: first pfn (int64), pages\n"
     "(int32), zone and kind (uint16)."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pass_slots[] = {
    {Py_tp_doc, "One pass over struct pages; see vmemmap/pages/one_pass.py."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, pass_init},
    {Py_tp_dealloc, pass_free},
    {Py_tp_traverse, pass_traverse},
    {Py_tp_clear, pass_clear},
    {Py_tp_methods, pass_methods},
    {0, NULL},
};

PyType_Spec pass_spec = {
    .name = "vmemmap._compiled.Pass",
    .basicsize = sizeof(Pass),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = pass_slots,
};
