/* Bytes at addresses that were read before, lent to whoever asks for some of them.
 *
 * It is what drgn calls for each read: see vmemmap/drgn_plugin/segments.py. What a call costs beside
 * drgn's own is all that there is to win, so no object is made for an answer: one is lent again and
 * again, for as long as nobody keeps it. */

#include "lender.h"

#include <stdint.h>

#define SLOTS 1024 /* a power of two */

/* Some bytes: those of an object that nobody else can release. */
typedef struct {
    PyObject_HEAD
    PyObject *owner;
    char *data;
    Py_ssize_t bytes;
} Lent;

typedef struct {
    uint64_t start, bytes;
    PyObject *owner; /* a view of our own; NULL where there is nothing */
    char *data;
} Piece;

typedef struct {
    PyObject_HEAD
    PyObject *missed;
    PyTypeObject *lent_type;
    Lent *lent;
    const Piece *last;
    Py_ssize_t kept;
    int shift;
    Piece slots[SLOTS];
} Lender;

static int lent_buffer(Lent *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, (PyObject *)self, self->data, self->bytes, 1, flags);
}

static void lent_free(Lent *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->owner);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot lent_slots[] = {
    {Py_tp_doc, "Bytes that are lent; see vmemmap/drgn_plugin/segments.py."},
    {Py_tp_dealloc, lent_free},
    {Py_bf_getbuffer, lent_buffer},
    {0, NULL},
};

PyType_Spec lent_spec = {
    .name = "vmemmap._compiled.Lent",
    .basicsize = sizeof(Lent),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = lent_slots,
};

static int has(const Piece *piece, uint64_t address, uint64_t count) {
    uint64_t into = address - piece->start;
    return into < piece->bytes && count <= piece->bytes - into;
}

static PyObject *lend(Lender *self, const Piece *piece, uint64_t address, uint64_t count) {
    Lent *lent = self->lent;
    if (lent == NULL || Py_REFCNT((PyObject *)lent) > 1) { /* whoever has it shall not see it change */
        lent = PyObject_New(Lent, self->lent_type);
        if (lent == NULL)
            return NULL;
        lent->owner = NULL;
        Py_XDECREF((PyObject *)self->lent);
        self->lent = lent;
    }
    if (lent->owner != piece->owner) {
        PyObject *before = lent->owner;
        lent->owner = Py_NewRef(piece->owner);
        Py_XDECREF(before);
    }
    lent->data = piece->data + (address - piece->start);
    lent->bytes = (Py_ssize_t)count;
    return Py_NewRef((PyObject *)lent);
}

static const char read_doc[] =
    "read(address, count, offset=0, physical=False)\n--\n\n"
    "Lend *count* bytes at an address, or give what *missed* gives for it: drgn's callback. What is\n"
    "lent stays as it is for as long as it is kept.";

static PyObject *lender_read(Lender *self, PyObject *const *args, Py_ssize_t given) {
    if (given < 2) {
        PyErr_SetString(PyExc_TypeError, "read() takes an address and a count");
        return NULL;
    }
    if (self->last == NULL) {
        PyErr_SetString(PyExc_ValueError, "it was not told whom to ask for what it has not");
        return NULL;
    }
    uint64_t address = PyLong_AsUnsignedLongLong(args[0]);
    uint64_t count = PyLong_AsUnsignedLongLong(args[1]);
    if ((address == UINT64_MAX || count == UINT64_MAX) && PyErr_Occurred())
        return NULL;
    if (has(self->last, address, count))
        return lend(self, self->last, address, count);
    const Piece *piece = &self->slots[(address >> self->shift) & (SLOTS - 1)];
    if (has(piece, address, count)) {
        self->last = piece;
        return lend(self, piece, address, count);
    }
    return PyObject_CallFunctionObjArgs(self->missed, args[0], args[1], NULL);
}

static void empty(Piece *piece) {
    piece->start = piece->bytes = 0;
    Py_CLEAR(piece->owner);
}

static const char keep_doc[] =
    "keep(start, data, address)\n--\n\n"
    "Lend *data*, which begins at the address *start*, from now on; *address* in it was asked for.";

static PyObject *lender_keep(Lender *self, PyObject *args) {
    unsigned long long start, address;
    PyObject *data;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "KOK:keep", &start, &data, &address))
        return NULL;
    PyObject *owner = PyMemoryView_FromObject(data);
    if (owner == NULL)
        return NULL;
    if (PyObject_GetBuffer(owner, &buffer, PyBUF_SIMPLE) < 0) {
        Py_DECREF(owner);
        return NULL;
    }
    Piece *piece = &self->slots[(address >> self->shift) & (SLOTS - 1)];
    self->kept += piece->owner == NULL;
    PyObject *before = piece->owner;
    *piece = (Piece){start, (uint64_t)buffer.len, owner, buffer.buf};
    self->last = piece;
    PyBuffer_Release(&buffer); /* the view holds it, and only we have that */
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static int lender_clear(Lender *self) {
    for (int i = 0; self->kept > 0 && i < SLOTS; i++)
        if (self->slots[i].owner != NULL) {
            empty(&self->slots[i]);
            self->kept--;
        }
    Py_CLEAR(self->lent);
    return 0;
}

static PyObject *lender_forget(Lender *self, PyObject *Py_UNUSED(args)) {
    lender_clear(self);
    Py_RETURN_NONE;
}

static int lender_forget_all(Lender *self) {
    self->last = NULL;
    Py_CLEAR(self->missed);
    Py_CLEAR(self->lent_type);
    return lender_clear(self);
}

static int lender_init(Lender *self, PyObject *args, PyObject *named) {
    static char *names[] = {"missed", "shift", NULL};
    PyObject *missed;
    int shift;
    if (!PyArg_ParseTupleAndKeywords(args, named, "Oi:Lender", names, &missed, &shift))
        return -1;
    if (shift < 0 || shift > 63) {
        PyErr_SetString(PyExc_ValueError, "shift is a number of bits, 0 to 63");
        return -1;
    }
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&lent_spec);
    if (type == NULL)
        return -1;
    lender_forget_all(self);
    self->lent_type = type;
    self->missed = Py_NewRef(missed);
    self->shift = shift;
    self->last = &self->slots[0];
    return 0;
}

static int lender_traverse(Lender *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->lent_type);
    Py_VISIT(self->missed);
    for (int i = 0; i < SLOTS; i++)
        Py_VISIT(self->slots[i].owner);
    return 0;
}

static void lender_free(Lender *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    lender_forget_all(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef lender_methods[] = {
    {"read", (PyCFunction)(void (*)(void))lender_read, METH_FASTCALL, read_doc},
    {"keep", (PyCFunction)lender_keep, METH_VARARGS, keep_doc},
    {"forget", (PyCFunction)lender_forget, METH_NOARGS,
     "forget()\n--\n\nLend nothing any more of what was kept."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lender_slots[] = {
    {Py_tp_doc, "Lends bytes that were read before; see vmemmap/drgn_plugin/segments.py."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, lender_init},
    {Py_tp_dealloc, lender_free},
    {Py_tp_traverse, lender_traverse},
    {Py_tp_clear, lender_forget_all},
    {Py_tp_methods, lender_methods},
    {0, NULL},
};

PyType_Spec lender_spec = {
    .name = "vmemmap._compiled.Lender",
    .basicsize = sizeof(Lender),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = lender_slots,
};
