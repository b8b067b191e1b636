/* LZO1X streams, written and read. */

#include "lzo1x.h"

#include <string.h>

#include "copies.h"

#define NEAR 2048     /* the furthest that a copy in two bytes reaches back */
#define MIDDLE 16384  /* the furthest of those in three that may be long */
#define FAR 49151     /* the furthest of all */
#define PIECE 65536   /* bytes that one table of places serves: they have 16 bits */
#define TABLE_BITS 13 /* the table's size: 16 KiB, which leave the nearest cache room for a page */
#define HEAD 8        /* bytes at a piece's start where no copy begins: see `put_piece` */
#define TAIL 16       /* bytes at its end where none does, so that loads stay inside */
#define PATIENCE 6    /* each 64 literals in a row make the steps longer, lest noise take long */

/* Writing. */

/* Write what of a length is beyond its bits in the instruction: zero bytes of 255 each, the rest. */
static inline uint8_t *put_length(uint8_t *op, size_t beyond) {
    for (; beyond > 255; beyond -= 255)
        *op++ = 0;
    *op++ = (uint8_t)beyond;
    return op;
}

/* Write literals: the count of up to three goes into the instruction before, which ends at *op*.
 * *wide*: there are 16 bytes to read. */
static inline uint8_t *put_literals(uint8_t *op, const uint8_t *out, const uint8_t *from,
                                    size_t count, int wide) {
    if (op == out && count <= 238)
        *op++ = (uint8_t)(17 + count);
    else if (count <= 3)
        op[-2] |= (uint8_t)count;
    else if (count <= 18)
        *op++ = (uint8_t)(count - 3);
    else {
        *op++ = 0;
        op = put_length(op, count - 18);
    }
    if (count <= 16 && wide)
        copy16(op, from);
    else
        memcpy(op, from, count);
    return op + count;
}

static inline uint8_t *put_copy(uint8_t *op, size_t back, size_t length) {
    size_t at = back - 1;
    if (length <= 8 && back <= NEAR) {
        *op++ = (uint8_t)((length - 1) << 5 | (at & 7) << 2);
        *op++ = (uint8_t)(at >> 3);
        return op;
    }
    size_t most = 33;
    uint8_t code = 32;
    if (back > MIDDLE) {
        at = back - MIDDLE;
        most = 9;
        code = (uint8_t)(16 | (at >> 14) << 3);
    }
    if (length <= most)
        *op++ = (uint8_t)(code | (length - 2));
    else {
        *op++ = code;
        op = put_length(op, length - most);
    }
    *op++ = (uint8_t)(at << 2);
    *op++ = (uint8_t)(at >> 6);
    return op;
}

/* Write what can be copied within one piece, and the literals before each copy; *plain* is the
 * first byte of the input that is not written yet.
 *
 * A run of one byte could be copied from the byte before. That most copies are from eight bytes back
 * at least makes liblzo2, and so crash and makedumpfile, read the pages of a dump up to 1.7 times
 * as fast. */
static uint8_t *put_piece(const uint8_t *piece, const uint8_t *end, const uint8_t **plain,
                          uint8_t *op, const uint8_t *out, uint16_t *table, int bits) {
    if (end - piece <= HEAD + TAIL)
        return op;
    /* Every place is that of the piece's first byte until it is known better. */
    memset(table, 0, sizeof *table << bits);
    const uint8_t *ip = piece + HEAD, *last = end - TAIL, *literals = *plain;
    for (;;) {
        Copy copy = next_copy(piece, ip, last, end, literals, FAR, PATIENCE, table, bits);
        if (copy.length == 0)
            break;
        reach_back(&copy, piece, literals);
        op = put_literals(op, out, literals, (size_t)(copy.to - literals), 1);
        op = put_copy(op, (size_t)(copy.to - copy.from), copy.length);
        literals = ip = copy.to + copy.length;
        /* One place within what was copied: kernel memory gets 6 % smaller, in the same time. */
        if (ip < last)
            *place_of(table, bits, ip - 1) = (uint16_t)(ip - 1 - piece);
    }
    *plain = literals;
    return op;
}

size_t lzo1x_write(const uint8_t *in, size_t bytes, uint8_t *out) {
    uint16_t table[1 << TABLE_BITS];
    const uint8_t *end = in + bytes, *plain = in;
    uint8_t *op = out;
    int bits = TABLE_BITS;
    while (bits > 8 && bytes <= (size_t)1 << (bits - 1))
        bits--; /* a small table is faster to clear */
    for (const uint8_t *piece = in; piece < end;) {
        const uint8_t *stop = end - piece > PIECE ? piece + PIECE : end;
        op = put_piece(piece, stop, &plain, op, out, table, bits);
        piece = stop;
    }
    if (plain < end)
        op = put_literals(op, out, plain, (size_t)(end - plain), 0);
    memcpy(op, "\x11\0\0", 3);
    return (size_t)(op + 3 - out);
}

/* Reading. */

/* Copy *length* bytes from *back* bytes before, of which some may be those just copied. There is
 * *room* for more than that, into which may be written. */
static inline void copy_back(uint8_t *op, size_t back, size_t length, size_t room) {
    const uint8_t *from = op - back;
    if (back >= 8 && length <= 16 && room >= 16) {
        copy16(op, from);
        return;
    }
    if (back >= 16 && room >= length + 15) {
        for (size_t done = 0; done < length; done += 16)
            copy16(op + done, from + done);
        return;
    }
    if (back == 1) {
        memset(op, *from, length);
        return;
    }
    /* What repeats grows with each copy of it. */
    for (; length > back; op += back, length -= back, back *= 2)
        memcpy(op, from, back);
    memcpy(op, from, length);
}

/* Read the rest of a length whose bits in the instruction are 0; 0 where the stream ends. */
static inline size_t rest_of_length(const uint8_t **ip, const uint8_t *end, size_t most) {
    size_t length = most;
    for (; *ip < end; length += 255)
        if (*(*ip)++)
            return length + (*ip)[-1];
    return 0;
}

Lzo1xFault lzo1x_read(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes,
                            size_t *at) {
    const uint8_t *ip = in, *const in_end = in + in_bytes, *begin = in;
    uint8_t *op = out, *const out_end = out + out_bytes;
    Lzo1xFault fault = LZO1X_CUT_OFF;
    size_t literals = 0; /* of the instruction before: 0, 1 to 3, or more */
    if (in_bytes && *ip > 17) {
        literals = *ip++ - 17u;
        goto literals;
    }
    for (;;) {
        begin = ip;
        fault = LZO1X_CUT_OFF;
        if (in_end - ip < 3)
            goto done; /* no end mark can follow */
        size_t code = *ip++, length, back;
        if (code >= 64) {
            length = (code >> 5) + 1;
            back = ((size_t)*ip++ << 3) + (code >> 2 & 7) + 1;
            literals = code & 3;
        } else if (code >= 16) {
            size_t most = code >= 32 ? 31 : 7;
            length = code & most;
            if (length == 0 && (length = rest_of_length(&ip, in_end, most)) == 0)
                goto done;
            length += 2;
            if (in_end - ip < 2)
                goto done;
            back = (size_t)(ip[0] >> 2 | ip[1] << 6);
            literals = ip[0] & 3;
            ip += 2;
            if (code >= 32)
                back++;
            else {
                back += (code & 8) << 11;
                if (back == 0)
                    break;
                back += MIDDLE;
            }
        } else if (literals == 0) {
            literals = code;
            if (literals == 0 && (literals = rest_of_length(&ip, in_end, 15)) == 0)
                goto done;
            literals += 3;
            goto literals;
        } else {
            length = literals < 4 ? 2 : 3;
            back = ((size_t)*ip++ << 2) + (code >> 2) + (literals < 4 ? 1 : NEAR + 1);
            literals = code & 3;
        }
        if (back > (size_t)(op - out)) {
            fault = LZO1X_TOO_FAR;
            goto done;
        }
        if (length > (size_t)(out_end - op)) {
            fault = LZO1X_TOO_LONG;
            goto done;
        }
        copy_back(op, back, length, (size_t)(out_end - op));
        op += length;
    literals:
        if (literals > (size_t)(in_end - ip))
            goto done;
        if (literals > (size_t)(out_end - op)) {
            fault = LZO1X_TOO_LONG;
            goto done;
        }
        if (literals <= 16 && in_end - ip >= 16 && out_end - op >= 16)
            copy16(op, ip);
        else
            memcpy(op, ip, literals);
        ip += literals;
        op += literals;
    }
    fault = ip < in_end ? LZO1X_GOES_ON : op < out_end ? LZO1X_TOO_SHORT : LZO1X_SOUND;
    begin = ip;
done:
    *at = fault == LZO1X_TOO_SHORT ? (size_t)(op - out) : (size_t)(begin - in);
    return fault;
}
