/* What is done with the bytes of many pages at once. */

#ifndef VMEMMAP_COLUMNS_H
#define VMEMMAP_COLUMNS_H

#include "pieces.h"

extern const char copy_doc[], zero_pages_doc[];

PyObject *copy_members(PyObject *module, PyObject *args);
PyObject *zero_pages(PyObject *module, PyObject *args);

#endif
