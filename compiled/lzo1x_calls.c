/* What Python calls of LZO1X: one page, or many at once. None holds the interpreter meanwhile. */

#include "lzo1x_calls.h"

#include <string.h>

#include "lzo1x.h"

static PyObject *told(Lzo1xFault fault, size_t at, Py_ssize_t bytes, Py_ssize_t page) {
    switch (fault) {
    case LZO1X_CUT_OFF:
        return PyErr_Format(PyExc_ValueError, "lzo: the instruction at byte %zu is cut off at %zd", at,
                            bytes);
    case LZO1X_TOO_FAR:
        return PyErr_Format(PyExc_ValueError,
                            "lzo: the instruction at byte %zu copies from before the first byte", at);
    case LZO1X_TOO_LONG:
        return PyErr_Format(PyExc_ValueError,
                            "lzo: it unpacks to more than %zd bytes, by the instruction at byte %zu",
                            page, at);
    case LZO1X_TOO_SHORT:
        return PyErr_Format(PyExc_ValueError, "lzo: it unpacks to %zu bytes, a page has %zd", at, page);
    case LZO1X_GOES_ON:
        return PyErr_Format(PyExc_ValueError, "lzo: it ends at byte %zu, expected at %zd", at, bytes);
    default:
        Py_RETURN_NONE;
    }
}

const char compress_doc[] =
    "lzo1x_compress(data)\n--\n\n"
    "Give the LZO1X stream of some bytes; it may be longer than they are, by a sixteenth at most.";

PyObject *compress_bytes(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:lzo1x_compress", &data))
        return NULL;
    PyObject *result = NULL;
    uint8_t *out = PyMem_Malloc(lzo1x_bound((size_t)data.len));
    if (out == NULL)
        PyErr_NoMemory();
    else {
        size_t size;
        Py_BEGIN_ALLOW_THREADS
        size = lzo1x_write(data.buf, (size_t)data.len, out);
        Py_END_ALLOW_THREADS
        result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)size);
    }
    PyMem_Free(out);
    PyBuffer_Release(&data);
    return result;
}

const char compress_pages_doc[] =
    "lzo1x_compress_pages(data, offsets, page)\n--\n\n"
    "Give the LZO1X streams of pages, one behind the other in a bytearray, and the size of each.\n\n"
    "data: the pages, anywhere; offsets: int64, where each begins; page: bytes in each. The sizes are\n"
    "int32, in bytes. A page whose stream would not be smaller is there as it is, which its size of\n"
    "*page* tells.";

PyObject *compress_pages(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data, offsets;
    Py_ssize_t page;
    PyObject *packed = NULL, *sizes = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*n:lzo1x_compress_pages", &data, &offsets, &page))
        return NULL;
    Py_ssize_t count = offsets.len / 8;
    const int64_t *offset = offsets.buf;
    int inside = page > 0 && page <= 1 << 30 && count < PY_SSIZE_T_MAX / page / 2;
    for (Py_ssize_t i = 0; inside && i < count; i++)
        inside = offset[i] >= 0 && page <= data.len && offset[i] <= data.len - page;
    if (!inside) {
        PyErr_SetString(PyExc_ValueError, "a page lies outside of what is given");
        goto done;
    }
    /* No page takes more than it has, but the last needs room to try. */
    size_t whole = (size_t)page, used = 0;
    packed = PyByteArray_FromStringAndSize(
        NULL, (Py_ssize_t)((size_t)count * whole + lzo1x_bound(whole) - whole));
    sizes = PyBytes_FromStringAndSize(NULL, count * 4);
    if (packed == NULL || sizes == NULL)
        goto done;
    uint8_t *out = (uint8_t *)PyByteArray_AsString(packed);
    char *size_out = PyBytes_AsString(sizes);
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++) {
        const uint8_t *from = (const uint8_t *)data.buf + offset[i];
        size_t size = lzo1x_write(from, whole, out + used);
        if (size >= whole)
            memcpy(out + used, from, size = whole);
        memcpy(size_out + 4 * i, &(int32_t){(int32_t)size}, 4);
        used += size;
    }
    Py_END_ALLOW_THREADS
    if (PyByteArray_Resize(packed, (Py_ssize_t)used) == 0)
        result = PyTuple_Pack(2, packed, sizes);
done:
    Py_XDECREF(packed);
    Py_XDECREF(sizes);
    PyBuffer_Release(&data);
    PyBuffer_Release(&offsets);
    return result;
}

const char decompress_doc[] =
    "lzo1x_decompress(data, size)\n--\n\n"
    "Give the *size* bytes of an LZO1X stream; a ValueError where it has another size, or is damaged.";

PyObject *decompress_bytes(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data;
    Py_ssize_t size;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*n:lzo1x_decompress", &data, &size))
        return NULL;
    if (size < 0)
        PyErr_Format(PyExc_ValueError, "a page cannot have %zd bytes", size);
    else
        result = PyBytes_FromStringAndSize(NULL, size);
    if (result != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(result);
        Lzo1xFault fault;
        size_t at;
        Py_BEGIN_ALLOW_THREADS
        fault = lzo1x_read(data.buf, (size_t)data.len, out, (size_t)size, &at);
        Py_END_ALLOW_THREADS
        if (fault != LZO1X_SOUND) {
            Py_CLEAR(result);
            told(fault, at, data.len, size);
        }
    }
    PyBuffer_Release(&data);
    return result;
}

const char decompress_into_doc[] =
    "lzo1x_decompress_into(data, out)\n--\n\n"
    "Unpack an LZO1X stream, which must fill *out*; a ValueError where it does not, or is damaged.";

PyObject *decompress_into(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data, out;
    if (!PyArg_ParseTuple(args, "y*w*:lzo1x_decompress_into", &data, &out))
        return NULL;
    Lzo1xFault fault;
    size_t at;
    Py_BEGIN_ALLOW_THREADS
    fault = lzo1x_read(data.buf, (size_t)data.len, out.buf, (size_t)out.len, &at);
    Py_END_ALLOW_THREADS
    PyObject *result = told(fault, at, data.len, out.len);
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return result;
}

const char decompress_pages_doc[] =
    "lzo1x_decompress_pages(data, places, page, out)\n--\n\n"
    "Unpack LZO1X streams, each of which must have *page* bytes; give a byte for each that is 1 where\n"
    "it does, else 0, and what *out* has there is then not to be used.\n\n"
    "data: the streams, anywhere; places: int64 (n, 3), offset and bytes of each in the data, and\n"
    "where its page begins in *out*.";

PyObject *decompress_pages(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data, places, out;
    Py_ssize_t page;
    if (!PyArg_ParseTuple(args, "y*y*nw*:lzo1x_decompress_pages", &data, &places, &page, &out))
        return NULL;
    Py_ssize_t count = places.len / 24;
    const int64_t *place = places.buf;
    PyObject *result = NULL;
    for (Py_ssize_t i = 0; i < count; i++, place += 3)
        if (page < 0 || page > out.len || place[0] < 0 || place[1] < 0 || place[2] < 0 ||
            place[0] > data.len || place[1] > data.len - place[0] || place[2] > out.len - page) {
            PyErr_SetString(PyExc_ValueError, "a stream or its page lies outside of what is given");
            goto done;
        }
    result = PyBytes_FromStringAndSize(NULL, count);
    if (result == NULL)
        goto done;
    char *sound = PyBytes_AsString(result);
    place = places.buf;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++, place += 3) {
        size_t at;
        sound[i] = lzo1x_read((const uint8_t *)data.buf + place[0], (size_t)place[1],
                              (uint8_t *)out.buf + place[2], (size_t)page, &at) == LZO1X_SOUND;
    }
    Py_END_ALLOW_THREADS
done:
    PyBuffer_Release(&data);
    PyBuffer_Release(&places);
    PyBuffer_Release(&out);
    return result;
}
