// False sharing, after the cache-scratch test of Berger et al., "Hoard" (ASPLOS 2000): small blocks allocated
// side by side by the main thread are given one to each thread, which then works on its block, frees it and
// takes another. An allocator that gives two threads parts of one cache line makes them slow. scratch THREADS
// SIZE ROUNDS WRITES
#include "workload.h"

static void *given[MAX_THREADS];
static size_t size, rounds, writes;

static uint64_t work(size_t index) {
  uint64_t sum = 0;
  void *block = given[index];
  for (size_t round = 0; round < rounds; round++) {
    volatile unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(index + round);
    for (size_t i = 0, at = 0; i < writes; i++, at = at + 1 < size ? at + 1 : 0) bytes[at]++;
    for (size_t i = 0; i < size; i++) sum += bytes[i];
    free(block);
    block = must(malloc(size));
  }
  free(block);
  return sum;
}

int main(int argc, char **argv) {
  size_t threads = arg_number(argc, argv, 1, 2);
  size = arg_number(argc, argv, 2, 8);
  rounds = arg_number(argc, argv, 3, 200000);
  writes = arg_number(argc, argv, 4, 1000);
  if (size == 0 || threads > MAX_THREADS) die("bad arguments");
  for (size_t i = 0; i < threads; i++) given[i] = must(malloc(size));
  return report(run_threads(threads, work));
}
