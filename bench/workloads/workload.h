// What the workloads share: a seeded generator, arguments, allocation that must succeed, and marks in the
// blocks, so that a run which lost or mixed up memory ends in abort() and not in a good time.
//
// Each workload prints one line, "checksum HEX", which depends only on its arguments: never on the allocator,
// on addresses or on how threads were scheduled.
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint64_t state;
} Rng;

// splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
static inline uint64_t rng_next(Rng *rng) {
  uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Uniform in [0, n), n up to 2^32.
static inline size_t rng_below(Rng *rng, size_t n) { return (size_t)(((rng_next(rng) >> 32) * n) >> 32); }

// Uniform in [low, high].
static inline size_t rng_range(Rng *rng, size_t low, size_t high) {
  return low + rng_below(rng, high - low + 1);
}

static inline void die(const char *what) {
  fprintf(stderr, "workload: %s\n", what);
  abort();
}

static inline void *must(void *block) {
  if (!block) die("out of memory");
  return block;
}

// The whole number in argument INDEX, or FALLBACK if there are fewer.
static inline size_t arg_number(int argc, char **argv, int index, size_t fallback) {
  return index < argc ? (size_t)strtoull(argv[index], NULL, 10) : fallback;
}

// Marks both ends of a block with KEY; block_check says whether they are still there.
static inline void block_mark(void *block, size_t size, uint64_t key) {
  unsigned char *bytes = block;
  if (size >= sizeof key)
    memcpy(bytes, &key, sizeof key);
  else
    bytes[0] = (unsigned char)key;
  bytes[size - 1] = (unsigned char)key;
}

static inline void block_check(const void *block, size_t size, uint64_t key) {
  const unsigned char *bytes = block;
  uint64_t seen = key;
  if (size >= sizeof key) memcpy(&seen, bytes, sizeof seen);
  // The last byte may lie inside the first word; then it holds the same low byte that block_mark put there.
  if (size <= sizeof key) {
    if (bytes[0] != (unsigned char)key || bytes[size - 1] != (unsigned char)key) die("block was changed");
  } else if (seen != key || bytes[size - 1] != (unsigned char)key) {
    die("block was changed");
  }
}

// Runs work(0..count-1), each in a thread of its own unless there is only one, and returns the sum of their
// results.
typedef uint64_t (*Work)(size_t index);

typedef struct {
  pthread_t thread;
  Work work;
  size_t index;
  uint64_t result;
} Worker;

static inline void *worker_main(void *arg) {
  Worker *worker = arg;
  worker->result = worker->work(worker->index);
  return NULL;
}

enum { MAX_THREADS = 64 };

static inline uint64_t run_threads(size_t count, Work work) {
  Worker workers[MAX_THREADS];
  uint64_t sum = 0;
  if (count == 0 || count > MAX_THREADS) die("bad number of threads");
  if (count == 1) return work(0);
  for (size_t i = 0; i < count; i++) {
    workers[i] = (Worker){.work = work, .index = i};
    if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i])) die("no thread");
  }
  for (size_t i = 0; i < count; i++) {
    pthread_join(workers[i].thread, NULL);
    sum += workers[i].result;
  }
  return sum;
}

static inline int report(uint64_t checksum) {
  printf("checksum %016llx\n", (unsigned long long)checksum);
  return fflush(stdout) ? 1 : 0;
}

#endif
