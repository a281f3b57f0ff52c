// Same-size pairs: DEPTH blocks are allocated, then freed in LIFO order, again and again.
// pair SIZE DEPTH PAIRS THREADS
#include "workload.h"

#ifdef PAIR_BASELINE
#include "freelist.h"
#define block_alloc(size) freelist_alloc(size)
#define block_free(block, size) freelist_free(block, size)
#else
#define block_alloc(size) malloc(size)
#define block_free(block, size) free(block)
#endif

enum { MAX_DEPTH = 1024 };

static size_t size, depth, rounds;

static uint64_t work(size_t index) {
  uint64_t *blocks[MAX_DEPTH];
  uint64_t sum = 0;
  for (size_t round = 0; round < rounds; round++) {
    for (size_t i = 0; i < depth; i++) {
      blocks[i] = must(block_alloc(size));
      *blocks[i] = round ^ i ^ index;
    }
    for (size_t i = depth; i-- > 0;) {
      sum += *blocks[i];
      block_free(blocks[i], size);
    }
  }
  return sum;
}

int main(int argc, char **argv) {
  size = arg_number(argc, argv, 1, 64);
  depth = arg_number(argc, argv, 2, 1);
  size_t pairs = arg_number(argc, argv, 3, 50000000);
  size_t threads = arg_number(argc, argv, 4, 1);
  if (size < sizeof(uint64_t) || size > 1024 || depth == 0 || depth > MAX_DEPTH) die("bad arguments");
  rounds = pairs / depth / threads;
  return report(run_threads(threads, work));
}
