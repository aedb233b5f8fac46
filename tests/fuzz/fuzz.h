/*
 * A fuzz target is one file here that defines fuzz_one(); its inputs are the files of the folder of
 * its name.
 *
 * `make check` builds each with driver.c: every input is run, then a fixed number of mutations of
 * them, the same every time. Every input that ever failed is kept in the folder. For a real hunt,
 * configure with CC=clang --enable-fuzzing and run tests/fuzz/fuzz_NAME tests/fuzz/NAME: then
 * libFuzzer is the driver.
 */
#ifndef ASOFS_TESTS_FUZZ_H
#define ASOFS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Must not crash, leak, or read past the end; aborts when a promise of the code is broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
