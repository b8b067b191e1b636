/* The compiled module of vmemmap. It knows no kernel: see vmemmap/pages/one_pass.py
 * and vmemmap/source/codecs.py. */

#include "columns.h"
#include "lzo1x_calls.h"
#include "one_pass.h"
#include "pack.h"

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
    {"copy", copy_members, METH_VARARGS, copy_doc},
    {"lzo1x_compress", compress_bytes, METH_VARARGS, compress_doc},
    {"lzo1x_compress_pages", compress_pages, METH_VARARGS, compress_pages_doc},
    {"lzo1x_decompress", decompress_bytes, METH_VARARGS, decompress_doc},
    {"lzo1x_decompress_into", decompress_into, METH_VARARGS, decompress_into_doc},
    {"lzo1x_decompress_pages", decompress_pages, METH_VARARGS, decompress_pages_doc},
    {"pack_pages", pack_pages, METH_VARARGS, pack_pages_doc},
    {"zero_pages", zero_pages, METH_VARARGS, zero_pages_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vmemmap._compiled",
    .m_doc = "The compiled part of vmemmap: one pass over struct pages, what goes with it, LZO1X, snappy.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&module); }
