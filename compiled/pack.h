/* Pages brought into the form in which a dump file has them, many in one call. */

#ifndef VMEMMAP_PACK_H
#define VMEMMAP_PACK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char pack_pages_doc[];

PyObject *pack_pages(PyObject *module, PyObject *args);

#endif
