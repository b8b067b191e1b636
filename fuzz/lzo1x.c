/* Fuzzes LZO1X where a byte out of bounds shows: under the sanitizers, every buffer of its exact size.
 *
 * Contents of many kinds go round, and their streams are damaged and read again. It ends at the
 * first fault; see README.md. Arguments: seconds of processor time, a number to begin with.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../compiled/lzo1x.h"

#define CONTENT_MAX 140000 /* more than two pieces of the writer */
#define DAMAGED_MAX 3000   /* contents up to here are damaged as well, many times */

static uint64_t state;

/* Give a number below *end*, which is not 0. */
static size_t below(size_t end) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (size_t)(state % end);
}

static void require(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "fault: %s\n", what);
        abort();
    }
}

static uint8_t *exactly(const uint8_t *from, size_t bytes) {
    uint8_t *copy = malloc(bytes);
    require(copy != NULL || bytes == 0, "no memory");
    if (bytes)
        memcpy(copy, from, bytes);
    return copy;
}

enum { ONE_BYTE, NOISE, WORDS, FROM_NEAR, FROM_ANYWHERE, KINDS };

static uint8_t next_byte(const uint8_t *at, size_t kind, size_t offset, size_t back, uint8_t same) {
    switch (kind) {
    case NOISE:
        return (uint8_t)below(256);
    case WORDS: /* mostly zeros, as in memory */
        return offset % 8 < 2 ? (uint8_t)below(256) : 0;
    case FROM_NEAR:
    case FROM_ANYWHERE:
        return back ? *(at - back) : same;
    default:
        return same;
    }
}

/* Fill *out* with pieces of every kind, and give how many bytes that are. */
static size_t fill(uint8_t *out) {
    size_t bytes = below(3) ? below(600) : below(CONTENT_MAX), at = 0;
    while (at < bytes) {
        size_t kind = below(KINDS), reach = kind == FROM_NEAR && at > 20 ? 20 : at;
        size_t back = at ? 1 + below(reach) : 0, end = at + 1 + below(below(8) ? 60 : 20000);
        uint8_t same = (uint8_t)below(256);
        for (; at < bytes && at < end; at++)
            out[at] = next_byte(out + at, kind, at, back, same);
    }
    return bytes;
}

static void damage(uint8_t *stream, size_t bytes) {
    static const uint8_t telling[] = {0, 1, 0x0f, 0x10, 0x11, 0x12, 0x1f, 0x20, 0x3f, 0x40, 0xff};
    for (size_t edits = 1 + below(5); bytes && edits > 0; edits--) {
        size_t at = below(bytes), from = below(bytes), many = below(8);
        if (below(3) == 0)
            stream[at] ^= (uint8_t)(1 << below(8));
        else if (below(2))
            stream[at] = telling[below(sizeof telling)];
        else if (at + many <= bytes && from + many <= bytes)
            memmove(stream + at, stream + from, many);
    }
}

static void read_damaged(const uint8_t *stream, size_t bytes, size_t content) {
    size_t keep = below(4) ? bytes : below(bytes + 1);
    size_t room = below(3) ? content : below(2 * content + 40), at;
    uint8_t *bad = exactly(stream, keep), *out = malloc(room);
    damage(bad, keep);
    Lzo1xFault fault = lzo1x_read(bad, keep, out, room, &at);
    require(fault <= LZO1X_GOES_ON, "an unknown fault");
    require(at <= (fault == LZO1X_TOO_SHORT ? room : keep), "a place outside of the stream");
    free(bad);
    free(out);
}

int main(int count, char **arguments) {
    double seconds = count > 1 ? atof(arguments[1]) : 60;
    state = (count > 2 ? strtoull(arguments[2], NULL, 0) : 1) * 0x9E3779B97F4A7C15u + 1;
    uint8_t *room = malloc(CONTENT_MAX);
    unsigned long rounds = 0, damaged = 0;
    for (; (double)clock() / CLOCKS_PER_SEC < seconds; rounds++) {
        size_t bytes = fill(room), at;
        uint8_t *content = exactly(room, bytes), *back = malloc(bytes);
        uint8_t *written = malloc(lzo1x_bound(bytes));
        size_t size = lzo1x_write(content, bytes, written);
        require(size <= lzo1x_bound(bytes), "a stream beyond its bound");
        uint8_t *stream = exactly(written, size);
        require(lzo1x_read(stream, size, back, bytes, &at) == LZO1X_SOUND, "its own stream");
        require(bytes == 0 || memcmp(back, content, bytes) == 0, "other bytes come back");
        for (int i = 0; bytes < DAMAGED_MAX && i < 40; i++, damaged++)
            read_damaged(stream, size, bytes);
        free(content), free(back), free(written), free(stream);
    }
    free(room);
    printf("%lu round trips, %lu damaged streams\n", rounds, damaged);
    return 0;
}
