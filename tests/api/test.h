/* What every cmocka program here includes. */
#ifndef TESTS_API_TEST_H
#define TESTS_API_TEST_H

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// clang-format off
#include <cmocka.h> /* wants some of the above before it */
// clang-format on

#include "../dice.h"
#include "../pattern.h"
#include "../process_memory.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static inline bool is_aligned(const void *object, size_t alignment) {
  return (uintptr_t)object % alignment == 0;
}

/* Keeps the compiler from knowing a size or a pointer, and so from judging or dropping the call that gets it.
 */
static inline size_t opaque_size(size_t size) {
  __asm__ volatile("" : "+r"(size));
  return size;
}

static inline void *opaque(void *object) {
  __asm__ volatile("" : "+r"(object) : : "memory");
  return object;
}

/* The next size to try: every one up to 1024, then steps of about 3%. */
static inline size_t next_size(size_t size) { return size + (size < 1024 ? 1 : size / 32); }

static inline bool is_zero(const void *object, size_t size) {
  const unsigned char *bytes = object;
  return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

#define require_pss()                                         \
  do {                                                        \
    if (process_pss() == 0) {                                 \
      print_message("skipped: no /proc/self/smaps_rollup\n"); \
      skip();                                                 \
    }                                                         \
  } while (0)

#endif
