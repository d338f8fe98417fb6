/* LZW encoder and decoder for TIFF tiles.

   The stream is that of TIFF 6.0, section 13: codes of 9 to 12 bits, the most significant bit first. The string table is
   cleared where libtiff clears it, so that no code above 4092 is written; some readers have no room for 4093 and 4094.

   The string table is a hash table with open addressing. A slot is one word: 20 bits for the key (prefix and byte) and 12
   for the code. An empty slot is 0, which no string has as its code. A larger table has fewer collisions, and a collision
   costs a mispredicted branch: 65,536 slots were the fastest on all inputs, in spite of the time to clear them. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_lzw_decode.h"

enum {
    LAST_CODE = 4093, /* entered, but cleared before it is written */
    SLOTS = 1 << 16,
};

typedef struct {
    uint8_t *next; /* where the next four bytes go */
    uint64_t bits; /* the low `pending` bits are not written yet */
    unsigned pending;
} BitWriter;

/* Return the number of bytes that a stream has at most: 12 bits for each byte and for each Clear code, and four codes. */
static size_t
max_encoded_bytes(size_t size)
{
    size_t codes = size + size / (LAST_CODE - FIRST_CODE) + 4;
    return codes + codes / 2 + sizeof(uint32_t);
}

static inline void
write_code(BitWriter *writer, uint32_t code, unsigned width)
{
    writer->bits = writer->bits << width | code;
    writer->pending += width;
    if (writer->pending >= 32) {
        writer->pending -= 32;
        uint32_t word = (uint32_t)(writer->bits >> writer->pending);
        const uint8_t bytes[4] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        memcpy(writer->next, bytes, sizeof bytes);
        writer->next += sizeof bytes;
    }
}

static inline void
write_rest(BitWriter *writer)
{
    uint64_t bits = writer->bits << (64 - writer->pending) % 64;
    for (unsigned done = 0; done < writer->pending; done += 8, bits <<= 8)
        *writer->next++ = (uint8_t)(bits >> 56);
}

/* Encode `input` to `output`, which holds max_encoded_bytes(size); `table` has SLOTS words. Return the length. */
static size_t
encode(const uint8_t *input, size_t size, uint32_t *table, uint8_t *output)
{
    BitWriter writer = {output, 0, 0};
    unsigned width = MIN_WIDTH;

    write_code(&writer, CLEAR_CODE, width);
    if (size > 0) {
        const uint8_t *end = input + size;
        uint32_t prefix = *input++, next_code = FIRST_CODE;
        memset(table, 0, SLOTS * sizeof *table);
        while (input < end) {
            uint32_t byte = *input++, key = prefix << 8 | byte, entry;
            uint32_t slot = (prefix << 2 ^ byte * 0x9E3779B1u >> 16) % SLOTS;
            while ((entry = table[slot]) != 0 && entry >> 12 != key)
                slot = (slot + 1) % SLOTS;
            if (entry != 0) {
                prefix = entry & 0xFFF;
                continue;
            }
            write_code(&writer, prefix, width);
            prefix = byte;
            if (next_code == LAST_CODE) {
                write_code(&writer, CLEAR_CODE, width);
                memset(table, 0, SLOTS * sizeof *table);
                next_code = FIRST_CODE;
                width = MIN_WIDTH;
            } else {
                table[slot] = key << 12 | next_code++;
                width += next_code >> width;
            }
        }
        write_code(&writer, prefix, width);
        if (next_code == LAST_CODE) {
            write_code(&writer, CLEAR_CODE, width);
            width = MIN_WIDTH;
        } else
            width += (next_code + 1) >> width;
    }
    write_code(&writer, END_CODE, width);
    write_rest(&writer);
    return (size_t)(writer.next - output);
}

static PyObject *
lzw_decode(PyObject *module, PyObject *args)
{
    Py_buffer view;
    Py_ssize_t size, length = -1;
    (void)module;

    if (!PyArg_ParseTuple(args, "y*n:lzw_decode", &view, &size))
        return NULL;
    if (size < 0 || size > PY_SSIZE_T_MAX / 4)
        size = PY_SSIZE_T_MAX / 2; /* which no memory holds */
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result != NULL) {
        uint8_t *output = (uint8_t *)PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        length = decode(view.buf, (size_t)view.len, output, (size_t)size);
        Py_END_ALLOW_THREADS
        if (length < 0) {
            PyErr_SetString(PyExc_ValueError, "not an LZW stream of TIFF: it has a code that it has not entered");
            Py_CLEAR(result);
        } else if (length < size) {
            PyObject *shorter = PyBytes_FromStringAndSize((const char *)output, length);
            Py_DECREF(result);
            result = shorter;
        }
    }
    PyBuffer_Release(&view);
    return result;
}

static PyObject *
lzw_encode(PyObject *module, PyObject *content)
{
    Py_buffer view;
    PyObject *result = NULL;
    (void)module;

    if (PyObject_GetBuffer(content, &view, PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    uint32_t *table = malloc(SLOTS * sizeof *table);
    uint8_t *output = (size_t)view.len < SIZE_MAX / 4 ? malloc(max_encoded_bytes((size_t)view.len)) : NULL;
    if (table == NULL || output == NULL)
        PyErr_NoMemory();
    else {
        size_t length;
        Py_BEGIN_ALLOW_THREADS
        length = encode(view.buf, (size_t)view.len, table, output);
        Py_END_ALLOW_THREADS
        result = PyBytes_FromStringAndSize((const char *)output, (Py_ssize_t)length);
    }
    free(output);
    free(table);
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef methods[] = {
    {"lzw_encode", lzw_encode, METH_O,
     PyDoc_STR("lzw_encode(content, /)\n--\n\nCompress bytes to one LZW stream of TIFF; the GIL is released.")},
    {"lzw_decode", lzw_decode, METH_VARARGS,
     PyDoc_STR("lzw_decode(content, size, /)\n--\n\nDecompress a stream to at most so many bytes; the GIL is released.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_MOD_MULTIPLE_INTERPRETERS
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_lzw", .m_doc = PyDoc_STR("LZW encoder for TIFF tiles."), .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__lzw(void)
{
    return PyModuleDef_Init(&definition);
}
