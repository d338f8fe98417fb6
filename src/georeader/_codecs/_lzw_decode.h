/* LZW decoder for TIFF tiles, of streams as `_lzw.c` describes them.

   The decoder holds no strings: each is a run of what was decoded already, as an offset and a length. A run that is
   entered is the last one and the byte behind it, so that it is there even where its code follows at once. */

#ifndef GEOREADER_LZW_DECODE_H
#define GEOREADER_LZW_DECODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    CLEAR_CODE = 256,
    END_CODE = 257,
    FIRST_CODE = 258,
    MIN_WIDTH = 9,
    MAX_WIDTH = 12,
    COPY_BYTES = 16, /* by which a run is copied, beyond its end */
};

typedef struct {
    size_t start, length; /* in the output */
} Run;

static inline size_t
shorter(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Decode `input` to at most `size` bytes of `output`. Return their number, or -1. */
static ptrdiff_t
decode(const uint8_t *input, size_t input_size, uint8_t *output, size_t size)
{
    const uint8_t *end = input + input_size;
    uint64_t bits = 0;
    unsigned pending = 0, width = MIN_WIDTH;
    uint32_t next_code = FIRST_CODE, code;
    Run runs[1 << MAX_WIDTH], last = {0, 0};
    size_t done = 0;

    while (done < size) {
        for (; pending < width && input < end; pending += 8)
            bits = bits << 8 | *input++;
        if (pending < width)
            break;
        pending -= width;
        code = (uint32_t)(bits >> pending) & ((1u << width) - 1);
        if (code == END_CODE)
            break;
        if (code == CLEAR_CODE) {
            next_code = FIRST_CODE, width = MIN_WIDTH, last.length = 0;
            continue;
        }
        if (last.length > 0 && next_code < 1 << MAX_WIDTH) {
            runs[next_code++] = (Run){last.start, last.length + 1};
            width += width < MAX_WIDTH && (next_code + 1) >> width;
        }
        if (code > CLEAR_CODE && code >= next_code)
            return -1;
        last = code < CLEAR_CODE ? (Run){done, 1} : (Run){done, shorter(runs[code].length, size - done)};
        if (code < CLEAR_CODE)
            output[done] = (uint8_t)code;
        else if (done - runs[code].start >= COPY_BYTES && last.length + COPY_BYTES <= size - done)
            for (size_t copied = 0; copied < last.length; copied += COPY_BYTES)
                memcpy(output + done + copied, output + runs[code].start + copied, COPY_BYTES);
        else
            for (size_t copied = 0; copied < last.length; copied++)
                output[done + copied] = output[runs[code].start + copied];
        done += last.length;
    }
    return (ptrdiff_t)done;
}

#endif
