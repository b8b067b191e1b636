/* An end in order where a mapped file cannot be read any more.
 *
 * Somebody has cut it, or its disk fails: the system then sends SIGBUS to whoever touches the page,
 * and no handler of Python's gets to run. What is done here a signal handler may do. */

#include "bus_error.h"

#ifndef _WIN32
#include <signal.h>
#include <string.h>
#include <unistd.h>
#endif

#define FILES 64 /* more outputs than these are left behind */
#define NAME_MAX_BYTES 4096
#define MESSAGE_MAX 256

const char end_at_bus_error_doc[] =
    "end_at_bus_error(message, code)\n--\n\n"
    "From now on end the process with *code* where a mapped file cannot be read, after *message*\n"
    "(bytes, 255 at most) on the standard error and the removal of `remove_at_bus_error`'s files.";

const char remove_at_bus_error_doc[] =
    "remove_at_bus_error(path, whether)\n--\n\n"
    "Have a file (its name in bytes) removed by `end_at_bus_error`, or no longer. False where there\n"
    "is no room for it.";

#ifndef _WIN32
static char message[MESSAGE_MAX];
static int exit_code;
static char files[FILES][NAME_MAX_BYTES];
static volatile sig_atomic_t has_file[FILES];

static void end(int number, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code <= 0) { /* somebody has sent it */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    for (int i = 0; i < FILES; i++)
        if (has_file[i])
            unlink(files[i]);
    ssize_t written = write(STDERR_FILENO, message, strlen(message));
    (void)written;
    _exit(exit_code);
}
#endif

PyObject *end_at_bus_error(PyObject *Py_UNUSED(module), PyObject *args) {
    const char *text;
    Py_ssize_t length;
    int code;
    if (!PyArg_ParseTuple(args, "y#i:end_at_bus_error", &text, &length, &code))
        return NULL;
#ifndef _WIN32
    if (length >= MESSAGE_MAX) {
        PyErr_SetString(PyExc_ValueError, "a message has 255 bytes at most");
        return NULL;
    }
    memcpy(message, text, (size_t)length);
    message[length] = '\0';
    exit_code = code;
    struct sigaction action = {.sa_sigaction = end, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGBUS, &action, NULL))
        return PyErr_SetFromErrno(PyExc_OSError);
#endif
    Py_RETURN_NONE;
}

PyObject *remove_at_bus_error(PyObject *Py_UNUSED(module), PyObject *args) {
    const char *path;
    int whether, done = 0;
    if (!PyArg_ParseTuple(args, "yp:remove_at_bus_error", &path, &whether))
        return NULL;
#ifndef _WIN32
    for (int i = 0; i < FILES && !done; i++) {
        if (whether ? has_file[i] : !has_file[i] || strcmp(files[i], path))
            continue;
        if (whether && strlen(path) >= NAME_MAX_BYTES)
            break;
        if (whether)
            strcpy(files[i], path);
        has_file[i] = whether;
        done = 1;
    }
#else
    (void)path;
#endif
    return PyBool_FromLong(done);
}
