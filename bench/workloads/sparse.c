// Sparse frees: many blocks of one size, nine in ten of them freed at random, then the same bytes again in
// another size, which cannot use the holes of the first unless pages come free. sparse THREADS MEGABYTES
// ROUNDS   (MEGABYTES for each thread, at most 1/10 of it is left of each round)
#include "workload.h"

static const size_t sizes[] = {64, 160, 48, 320, 96, 32, 512, 128};
enum { SIZES = sizeof sizes / sizeof *sizes, SMALLEST = 32 };

static size_t bytes, rounds;

static uint64_t work(size_t index) {
  Rng rng = {index + 1};
  // Room for a full round and for what is left of all before it.
  size_t capacity = bytes / SMALLEST + rounds * (bytes / SMALLEST / 8);
  void **table = must(malloc(capacity * sizeof *table));
  size_t used = 0;
  uint64_t sum = 0;
  for (size_t round = 0; round < rounds; round++) {
    size_t size = sizes[round % SIZES], start = used;
    for (size_t i = 0; i < bytes / size; i++) {
      table[used] = must(malloc(size));
      block_mark(table[used], size, used);
      used++;
    }
    size_t kept = start;
    for (size_t i = start; i < used; i++) {
      block_check(table[i], size, i);
      if (rng_below(&rng, 10)) {
        free(table[i]);
      } else {
        sum += i;
        table[kept++] = table[i];
      }
    }
    used = kept;
  }
  for (size_t i = 0; i < used; i++) free(table[i]);
  free(table);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 1);
  bytes = arg_number(argc, argv, 2, 50) << 20;
  rounds = arg_number(argc, argv, 3, 16);
  return report(run_threads(threads, work));
}
