/* LZO1X, the codec of makedumpfile -l: streams that liblzo2 and the kernel read, and their reading.
 *
 * A stream is instructions, each a copy from what was written before, and literal bytes:
 *
 *     first byte 18..255            that minus 17 literals
 *     0000LLLL                      3 + L literals           where the one before had no literals
 *     0000DDSS  H                   copy 2 bytes             where it had 1 to 3
 *                                   from 1 + D + 4H back
 *     0000DDSS  H                   copy 3 bytes             where it had 4 or more
 *                                   from 2049 + D + 4H back
 *     0001HLLL  DDDDDDSS DDDDDDDD   copy 2 + L bytes from 16384 + (H << 14) + D back; D = H = 0 ends
 *     001LLLLL  DDDDDDSS DDDDDDDD   copy 2 + L bytes from 1 + D back
 *     01LDDDSS  H                   copy 3 + L bytes from 1 + D + 8H back
 *     1LLDDDSS  H                   copy 5 + L bytes from 1 + D + 8H back
 *
 * S literals follow a copy. An L of 0, but for the last two, means the largest L that there is, plus
 * 255 for each zero byte that follows, plus the byte behind those. There is no checksum.
 *
 * Source: Linux Documentation/staging/lzo.rst, version 0 of the stream.
 */

#ifndef VMEMMAP_LZO1X_H
#define VMEMMAP_LZO1X_H

#include <stddef.h>
#include <stdint.h>

/* What is wrong with a stream. */
typedef enum {
    LZO1X_SOUND,
    LZO1X_CUT_OFF,     /* it ends within an instruction, or without its end mark */
    LZO1X_TOO_LONG,    /* it has more bytes than there is room for */
    LZO1X_TOO_SHORT,   /* it has fewer */
    LZO1X_TOO_FAR,     /* a copy from before the first byte */
    LZO1X_GOES_ON,     /* bytes behind the end mark */
} Lzo1xFault;

/* Give the most bytes that a stream of *bytes* bytes may take. */
static inline size_t lzo1x_bound(size_t bytes) { return bytes + bytes / 16 + 67; }

/* Write the stream of *bytes* bytes to *out*, which has room for `lzo1x_bound` of them, and give
 * how long it is. The same bytes give the same stream on every machine. */
size_t lzo1x_write(const uint8_t *in, size_t bytes, uint8_t *out);

/* Read a stream, which must fill *out* exactly. What is written never lies outside *out*; in *at* is
 * where the stream was, or, where it is too short, how many bytes it has. */
Lzo1xFault lzo1x_read(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes,
                            size_t *at);

#endif
