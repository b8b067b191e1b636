/* Snappy, the codec of makedumpfile -p: streams that libsnappy and the kernel's readers read.
 *
 * A stream is how many bytes it stands for, as a varint, and then elements:
 *
 *     LLLLLL00                        1 + L literals, L below 60
 *     60..63 << 2  L of 1 to 4 bytes  1 + L literals
 *     HHHLLL01  DDDDDDDD              copy 4 + L bytes from (H << 8) + D back
 *     LLLLLL10  DDDDDDDD HHHHHHHH     copy 1 + L bytes from (H << 8) + D back
 *     LLLLLL11  D of 4 bytes          copy 1 + L bytes from D back; never written here
 *
 * There is no checksum. Reading is left to libraries: vmemmap/source/codecs.py.
 *
 * Source: google/snappy, format_description.txt.
 */

#ifndef VMEMMAP_SNAPPY_H
#define VMEMMAP_SNAPPY_H

#include <stddef.h>
#include <stdint.h>

/* Give the most bytes that a stream of *bytes* bytes may take. */
static inline size_t snappy_bound(size_t bytes) { return bytes + bytes / 6 + 32; }

/* Write the stream of *bytes* bytes, fewer than 4 GiB, to *out*, which has room for `snappy_bound` of
 * them, and give how long it is. The same bytes give the same stream on every machine. */
size_t snappy_write(const uint8_t *in, size_t bytes, uint8_t *out);

#endif
