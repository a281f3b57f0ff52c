// Uniform random sizes in a working set: each step frees a random slot's block and puts a new one there.
// random THREADS SLOTS STEPS MIN MAX   (SLOTS and STEPS for each thread)
#include "workload.h"

typedef struct {
  void *block;
  uint32_t size;
  uint32_t key;
} Slot;

static size_t slots, steps, min_size, max_size;

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Slot *table = must(calloc(slots, sizeof *table));
  uint64_t sum = 0;
  for (size_t step = 0; step < steps; step++) {
    Slot *slot = &table[rng_below(&rng, slots)];
    if (slot->block) {
      block_check(slot->block, slot->size, slot->key);
      sum += slot->key;
      free(slot->block);
    }
    slot->size = (uint32_t)rng_range(&rng, min_size, max_size);
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
  slots = arg_number(argc, argv, 2, 10000);
  steps = arg_number(argc, argv, 3, 8000000);
  min_size = arg_number(argc, argv, 4, 16);
  max_size = arg_number(argc, argv, 5, 1024);
  return report(run_threads(threads, work));
}
