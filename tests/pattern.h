/* Bytes that only one object has: a sequence made from a key, independent of the object's address. */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t pattern_word(uint64_t key, size_t index) {
  uint64_t x = key + index * UINT64_C(0x9E3779B97F4A7C15);
  return x ^ (x >> 29);
}

static inline void pattern_fill(void *object, size_t size, uint64_t key) {
  unsigned char *bytes = object;
  size_t words = size / sizeof(uint64_t);
  for (size_t i = 0; i < words; i++) {
    uint64_t word = pattern_word(key, i);
    memcpy(bytes + i * sizeof word, &word, sizeof word);
  }
  uint64_t last = pattern_word(key, words);
  memcpy(bytes + words * sizeof last, &last, size % sizeof last);
}

/* The offset of the first byte that is not as pattern_fill() wrote it, accurate to a word; `size` if there is
 * none. */
static inline size_t pattern_mismatch(const void *object, size_t size, uint64_t key) {
  const unsigned char *bytes = object;
  size_t words = size / sizeof(uint64_t);
  for (size_t i = 0; i < words; i++) {
    uint64_t word = pattern_word(key, i);
    if (memcmp(bytes + i * sizeof word, &word, sizeof word) != 0) return i * sizeof word;
  }
  uint64_t last = pattern_word(key, words);
  if (memcmp(bytes + words * sizeof last, &last, size % sizeof last) != 0) return words * sizeof last;
  return size;
}

#endif
