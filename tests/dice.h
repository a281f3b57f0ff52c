/* A small seeded generator (SplitMix64: Steele, Lea, Flood, OOPSLA 2014), so that a failing run can be
 * repeated. */
#ifndef TESTS_DICE_H
#define TESTS_DICE_H

#include <stddef.h>
#include <stdint.h>

struct dice {
  uint64_t state;
};

static inline uint64_t dice_next(struct dice *dice) {
  uint64_t x = dice->state += UINT64_C(0x9E3779B97F4A7C15);
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

/* Uniform enough in [0, bound) for tests. */
static inline size_t dice_below(struct dice *dice, size_t bound) { return dice_next(dice) % bound; }

/* A size of at least 1 and below 2^bits with every order of magnitude equally likely: small ones are the
 * many. */
static inline size_t dice_size(struct dice *dice, unsigned bits) {
  size_t top = (size_t)1 << dice_below(dice, bits);
  return top + dice_below(dice, top);
}

#endif
