// Large blocks, 32 KiB to 4 MiB, in a small working set. With STRIDE 0 only both ends of a block are written;
// otherwise also every STRIDE-th byte, as a program would that uses its buffers.
// large THREADS SLOTS STEPS STRIDE   (SLOTS and STEPS for each thread)
#include "workload.h"

enum { MIN_SIZE = 32 << 10, MAX_SIZE = 4 << 20 };

typedef struct {
  unsigned char *block;
  size_t size;
} Slot;

static size_t slots, steps, stride;

static uint64_t slot_empty(Slot *slot) {
  uint64_t sum = 0;
  if (!slot->block) return 0;
  block_check(slot->block, slot->size, slot->size);
  if (stride) {
    for (size_t at = stride; at < slot->size - 1; at += stride) sum += slot->block[at];
  }
  free(slot->block);
  slot->block = NULL;
  return sum + slot->size;
}

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  Slot *table = must(calloc(slots, sizeof *table));
  uint64_t sum = 0;
  for (size_t step = 0; step < steps; step++) {
    Slot *slot = &table[rng_below(&rng, slots)];
    sum += slot_empty(slot);
    slot->size = rng_range(&rng, MIN_SIZE, MAX_SIZE);
    slot->block = must(malloc(slot->size));
    if (stride) {
      for (size_t at = stride; at < slot->size - 1; at += stride)
        slot->block[at] = (unsigned char)(at / stride);
    }
    block_mark(slot->block, slot->size, slot->size);
  }
  for (size_t i = 0; i < slots; i++) sum += slot_empty(&table[i]);
  free(table);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  slots = arg_number(argc, argv, 2, 20);
  steps = arg_number(argc, argv, 3, 20000);
  stride = arg_number(argc, argv, 4, 0);
  return report(run_threads(threads, work));
}
