/* Bytes that tell one object from another. The first n bytes are the same for every size of at least n. */
#ifndef UNIT_CONTENT_H
#define UNIT_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_STEP 0x9e3779b97f4a7c15u

/* The i-th word is this plus i steps. */
static inline uint64_t content_start(uint64_t key) { return (key + 1) * 0xbf58476d1ce4e5b9u; }

static inline unsigned char content_byte(uint64_t key, size_t offset) {
  return (unsigned char)((content_start(key) + offset / 8 * CONTENT_STEP) >> offset % 8 * 8);
}

/* `object` is aligned to 8 bytes. */
static inline void content_fill(void *object, size_t size, uint64_t key) {
  uint64_t word = content_start(key), *p = object, *const end = p + size / 8;
  for (; p < end; word += CONTENT_STEP) *p++ = word;
  for (size_t i = size / 8 * 8; i < size; i++) ((unsigned char *)object)[i] = content_byte(key, i);
}

static inline bool content_holds(const void *object, size_t size, uint64_t key) {
  const uint64_t *p = object, *const end = p + size / 8;
  for (uint64_t word = content_start(key); p < end; word += CONTENT_STEP)
    if (*p++ != word) return false;
  for (size_t i = size / 8 * 8; i < size; i++)
    if (((const unsigned char *)object)[i] != content_byte(key, i)) return false;
  return true;
}

#endif
