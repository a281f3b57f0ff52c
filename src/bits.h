/* Arithmetic on powers of two, and bitmaps held in words of 64 bits. All pure. */
#ifndef MESH_BITS_H
#define MESH_BITS_H

#include "check.h"

static inline bool is_power_of_two(size_t x) { return x != 0 && (x & (x - 1)) == 0; }

/* `to` is a power of two. */
static inline size_t round_up(size_t x, size_t to) { return (x + to - 1) & ~(to - 1); }
static inline size_t round_down(size_t x, size_t to) { return x & ~(to - 1); }

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Floor and ceiling of the binary logarithm; x > 0. */
static inline unsigned log2_floor(size_t x) { return 63u - (unsigned)__builtin_clzll(x); }
static inline unsigned log2_ceil(size_t x) { return x <= 1 ? 0 : log2_floor(x - 1) + 1; }

static inline unsigned popcount64(uint64_t x) {
#if defined __x86_64__ && !defined __POPCNT__
  /* Sums of 2, 4 and 8 bits, then of all bytes: compilers call a function for it where there may be no instruction. */
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return (unsigned)(x * 0x0101010101010101 >> 56);
#else
  return (unsigned)__builtin_popcountll(x);
#endif
}
static inline unsigned lowest_bit(uint64_t x) { return (unsigned)__builtin_ctzll(x); }

static inline size_t bitmap_words(size_t bits) { return (bits + 63) / 64; }

static inline bool bitmap_get(const uint64_t *map, size_t i) { return map[i / 64] >> (i % 64) & 1; }
static inline void bitmap_set(uint64_t *map, size_t i) { map[i / 64] |= (uint64_t)1 << (i % 64); }
static inline void bitmap_clear(uint64_t *map, size_t i) { map[i / 64] &= ~((uint64_t)1 << (i % 64)); }

/* The bits of word `w` that exist in a bitmap of `bits` bits. */
static inline uint64_t bitmap_word_mask(size_t bits, size_t w) {
  size_t rest = bits - w * 64;
  return rest >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << rest) - 1;
}

static inline size_t bitmap_count(const uint64_t *map, size_t bits) {
  size_t n = 0;
  for (size_t w = 0; w < bitmap_words(bits); w++) n += popcount64(map[w]);
  return n;
}

/* First set bit at or after `from`, or `bits` where there is none. */
static inline size_t bitmap_next(const uint64_t *map, size_t bits, size_t from) {
  if (from >= bits) return bits;
  size_t w = from / 64;
  uint64_t word = map[w] & (~(uint64_t)0 << (from % 64));
  while (word == 0) {
    if (++w >= bitmap_words(bits)) return bits;
    word = map[w];
  }
  return w * 64 + lowest_bit(word);
}

/* Writes the `bits` bits of `from` at bit `at` of `map`, all of whose bits from `at` on are 0. */
static inline void bitmap_append(uint64_t *map, size_t at, const uint64_t *from, size_t bits) {
  for (size_t w = 0; w < bitmap_words(bits); w++, at += 64) {
    uint64_t word = from[w] & bitmap_word_mask(bits, w);
    map[at / 64] |= word << (at % 64);
    if (at % 64 != 0 && word >> (64 - at % 64) != 0) map[at / 64 + 1] |= word >> (64 - at % 64);
  }
}

#endif
