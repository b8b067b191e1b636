/* Snappy streams, written. */

#include "snappy.h"

#include <string.h>

#include "copies.h"

#define PIECE 65536   /* bytes that copies stay within: 16 bits say how far back one is from */
#define TABLE_BITS 13 /* the table's size: 16 KiB, which leave the nearest cache room for a page */
#define TAIL 16       /* bytes at a piece's end where no copy begins, so that loads stay inside */
#define PATIENCE 5    /* each 32 literals in a row make the steps longer, lest noise take long */
#define SHORT 2048    /* from nearer than that a copy of up to 11 bytes takes two bytes */

/* Write literals, of which there is at least one. *wide*: there are 16 bytes to read. */
static inline uint8_t *put_literals(uint8_t *op, const uint8_t *from, size_t count, int wide) {
    size_t beyond = count - 1;
    if (beyond < 60)
        *op++ = (uint8_t)(beyond << 2);
    else if (beyond < 256) {
        *op++ = 60 << 2;
        *op++ = (uint8_t)beyond;
    } else {
        *op++ = 61 << 2;
        *op++ = (uint8_t)beyond;
        *op++ = (uint8_t)(beyond >> 8);
    }
    if (count <= 16 && wide)
        copy16(op, from);
    else
        memcpy(op, from, count);
    return op + count;
}

static inline uint8_t *put_long_copy(uint8_t *op, size_t back, size_t length) {
    *op++ = (uint8_t)((length - 1) << 2 | 2);
    *op++ = (uint8_t)back;
    *op++ = (uint8_t)(back >> 8);
    return op;
}

/* Write a copy of at least four bytes; it takes several elements beyond 64 bytes. */
static inline uint8_t *put_copy(uint8_t *op, size_t back, size_t length) {
    /* What is left for the last element is never less than the four bytes of the short form. */
    for (; length >= 68; length -= 64)
        op = put_long_copy(op, back, 64);
    if (length > 64) {
        op = put_long_copy(op, back, 60);
        length -= 60;
    }
    if (length > 11 || back >= SHORT)
        return put_long_copy(op, back, length);
    *op++ = (uint8_t)((back >> 8) << 5 | (length - 4) << 2 | 1);
    *op++ = (uint8_t)back;
    return op;
}

/* Write one piece: copies from within it, and the literals between them. */
static uint8_t *put_piece(const uint8_t *piece, const uint8_t *end, uint8_t *op, uint16_t *table,
                          int bits) {
    const uint8_t *literals = piece;
    if (end - piece > TAIL) {
        /* Every place is that of the piece's first byte until it is known better. */
        memset(table, 0, sizeof *table << bits);
        const uint8_t *ip = piece + 1, *last = end - TAIL;
        for (;;) {
            Copy copy = next_copy(piece, ip, last, end, literals, PIECE, PATIENCE, table, bits);
            if (copy.length == 0)
                break;
            reach_back(&copy, piece, literals);
            if (copy.to > literals)
                op = put_literals(op, literals, (size_t)(copy.to - literals), 1);
            op = put_copy(op, (size_t)(copy.to - copy.from), copy.length);
            literals = ip = copy.to + copy.length;
            /* One place within what was copied: 5 % smaller on kernel memory, and faster. */
            if (ip < last)
                *place_of(table, bits, ip - 1) = (uint16_t)(ip - 1 - piece);
        }
    }
    return literals < end ? put_literals(op, literals, (size_t)(end - literals), 0) : op;
}

size_t snappy_write(const uint8_t *in, size_t bytes, uint8_t *out) {
    uint16_t table[1 << TABLE_BITS];
    const uint8_t *end = in + bytes;
    uint8_t *op = out;
    size_t left = bytes;
    for (; left >= 128; left >>= 7)
        *op++ = (uint8_t)(left | 128);
    *op++ = (uint8_t)left;
    int bits = TABLE_BITS;
    while (bits > 8 && bytes <= (size_t)1 << (bits - 1))
        bits--; /* a small table is faster to clear */
    for (const uint8_t *piece = in; piece < end;) {
        const uint8_t *stop = end - piece > PIECE ? piece + PIECE : end;
        op = put_piece(piece, stop, op, table, bits);
        piece = stop;
    }
    return (size_t)(op - out);
}
