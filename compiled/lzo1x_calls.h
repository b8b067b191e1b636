/* What Python calls of LZO1X. */

#ifndef VMEMMAP_LZO1X_CALLS_H
#define VMEMMAP_LZO1X_CALLS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char compress_doc[], compress_pages_doc[];
extern const char decompress_doc[], decompress_into_doc[], decompress_pages_doc[];

PyObject *compress_bytes(PyObject *module, PyObject *args);
PyObject *compress_pages(PyObject *module, PyObject *args);
PyObject *decompress_bytes(PyObject *module, PyObject *args);
PyObject *decompress_into(PyObject *module, PyObject *args);
PyObject *decompress_pages(PyObject *module, PyObject *args);

#endif
