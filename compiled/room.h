/* Room on the disk for a file, made before it is written. */

#ifndef VMEMMAP_ROOM_H
#define VMEMMAP_ROOM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern const char make_room_doc[];

PyObject *make_room(PyObject *module, PyObject *args);

#endif
