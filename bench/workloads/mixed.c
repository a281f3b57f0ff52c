// Sizes and lifetimes as programs have them: sizes by a power law from 16 bytes to 64 KiB (each doubling half
// as frequent), and a few slots that change all the time beside many that live long. mixed THREADS SLOTS
// STEPS   (SLOTS and STEPS for each thread)
#include "workload.h"

enum { SMALLEST = 16, DOUBLINGS = 12 };

typedef struct {
  void *block;
  uint32_t size;
  uint32_t key;
} Slot;

static size_t slots, steps;

static size_t power_law_size(Rng *rng) {
  uint64_t coins = rng_next(rng) | (1u << (DOUBLINGS - 1));
  size_t base = (size_t)SMALLEST << __builtin_ctzll(coins);
  return base + rng_below(rng, base);
}

// The cube of a uniform variable: half of all picks fall on the first eighth of the slots.
static size_t skewed_slot(Rng *rng) {
  double u = (double)(rng_next(rng) >> 11) / 9007199254740992.0;
  return (size_t)(u * u * u * (double)slots);
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Slot *table = must(calloc(slots, sizeof *table));
  uint64_t sum = 0;
  for (size_t step = 0; step < steps; step++) {
    Slot *slot = &table[skewed_slot(&rng)];
    if (slot->block) {
      block_check(slot->block, slot->size, slot->key);
      sum += slot->key;
      free(slot->block);
    }
    slot->size = (uint32_t)power_law_size(&rng);
    slot->key = (uint32_t)step;
    slot->block = must(malloc(slot->size));
    block_mark(slot->block, slot->size, slot->key);
  }
  for (size_t i = 0; i < slots; i++) free(table[i].block);
  free(table);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  slots = arg_number(argc, argv, 2, 50000);
  steps = arg_number(argc, argv, 3, 6000000);
  return report(run_threads(threads, work));
}
