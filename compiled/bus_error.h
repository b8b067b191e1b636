/* An end in order where a mapped file cannot be read any more. */

#ifndef VMEMMAP_BUS_ERROR_H
#define VMEMMAP_BUS_ERROR_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char end_at_bus_error_doc[];
extern const char remove_at_bus_error_doc[];

PyObject *end_at_bus_error(PyObject *module, PyObject *args);
PyObject *remove_at_bus_error(PyObject *module, PyObject *args);

#endif
