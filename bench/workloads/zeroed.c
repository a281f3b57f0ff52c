// calloc: every word of a block must be zero, and is dirtied before the block is freed.
// zeroed THREADS SLOTS STEPS MAX   (sizes by a power law from 16 bytes to MAX)
#include "workload.h"

static size_t slots, steps, max_size;

static size_t power_law_size(Rng *rng) {
  size_t size = 16;
  while (size < max_size && rng_next(rng) % 2) size *= 2;
  size += rng_below(rng, size);
  return size < max_size ? size : max_size;
}

static void must_be_zero(const unsigned char *block, size_t size) {
  uint64_t seen = 0, word;
  size_t at = 0;
  for (; at + sizeof word <= size; at += sizeof word) {
    memcpy(&word, block + at, sizeof word);
    seen |= word;
  }
  for (; at < size; at++) seen |= block[at];
  if (seen) die("calloc gave memory that was not zero");
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  void **table = must(calloc(slots, sizeof *table));
  uint64_t sum = 0;
  for (size_t step = 0; step < steps; step++) {
    size_t i = rng_below(&rng, slots);
    size_t size = power_law_size(&rng);
    free(table[i]);
    table[i] = must(calloc(1, size));
    must_be_zero(table[i], size);
    memset(table[i], 0xa5, size);
    sum += size;
  }
  for (size_t i = 0; i < slots; i++) free(table[i]);
  free(table);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  slots = arg_number(argc, argv, 2, 5000);
  steps = arg_number(argc, argv, 3, 5000000);
  max_size = arg_number(argc, argv, 4, 65536);
  return report(run_threads(threads, work));
}
