/* The compiled module of vmemmap. It knows no kernel: see vmemmap/pages/one_pass.py,
 * vmemmap/source/codecs.py and vmemmap/drgn_plugin/segments.py. */

#include "bus_error.h"
#include "columns.h"
#include "lender.h"
#include "lzo1x_calls.h"
#include "one_pass.h"
#include "pack.h"
#include "room.h"

static int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, name, type) < 0;
    Py_DECREF(type);
    return failed ? -1 : 0;
}

static int fill_module(PyObject *module) {
    int failed = add_type(module, "Pass", &pass_spec) < 0 ||
                 add_type(module, "Lender", &lender_spec) < 0 ||
                 PyModule_AddIntMacro(module, KINDS) < 0 ||
                 PyModule_AddIntMacro(module, ORDERS) < 0 ||
                 PyModule_AddIntConstant(module, "COUNTS", sizeof(Counts) / sizeof(int64_t)) < 0;
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};

static PyMethodDef module_methods[] = {
    {"copy", copy_members, METH_VARARGS, copy_doc},
    {"end_at_bus_error", end_at_bus_error, METH_VARARGS, end_at_bus_error_doc},
    {"lzo1x_compress", compress_bytes, METH_VARARGS, compress_doc},
    {"lzo1x_compress_pages", compress_pages, METH_VARARGS, compress_pages_doc},
    {"lzo1x_decompress", decompress_bytes, METH_VARARGS, decompress_doc},
    {"lzo1x_decompress_into", decompress_into, METH_VARARGS, decompress_into_doc},
    {"lzo1x_decompress_pages", decompress_pages, METH_VARARGS, decompress_pages_doc},
    {"make_room", make_room, METH_VARARGS, make_room_doc},
    {"pack_pages", pack_pages, METH_VARARGS, pack_pages_doc},
    {"remove_at_bus_error", remove_at_bus_error, METH_VARARGS, remove_at_bus_error_doc},
    {"zero_pages", zero_pages, METH_VARARGS, zero_pages_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vmemmap._compiled",
    .m_doc = "The compiled part of vmemmap: one pass over struct pages, what goes with it,"
             " LZO1X, snappy, and reads for drgn.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&module); }
