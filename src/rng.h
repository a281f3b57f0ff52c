/* A small fast generator (xorshift64*, Vigna 2016): statistical quality, no secrecy. */
#ifndef MESH_RNG_H
#define MESH_RNG_H

#include <stdint.h>

typedef struct Rng {
  uint64_t state; /* never 0 */
} Rng;

static inline void rng_seed(Rng *r, uint64_t seed) {
  seed += 0x9e3779b97f4a7c15u; /* splitmix64, so that seeds 1, 2, 3 start far apart */
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebu;
  seed ^= seed >> 31;
  r->state = seed ? seed : 1;
}

static inline uint32_t rng_next(Rng *r) {
  uint64_t x = r->state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  r->state = x;
  return (uint32_t)((x * 0x2545f4914f6cdd1du) >> 32);
}

/* Uniform in [0, n), up to a bias of n / 2^32 (Lemire's multiply-shift). */
static inline uint32_t rng_below(Rng *r, uint32_t n) {
  return (uint32_t)(((uint64_t)rng_next(r) * n) >> 32);
}

#endif
