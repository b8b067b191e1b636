/* Bytes at addresses that were read before, lent to whoever asks for some of them. */

#ifndef VMEMMAP_LENDER_H
#define VMEMMAP_LENDER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec lender_spec;
extern PyType_Spec lent_spec;

#endif
