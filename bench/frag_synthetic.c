// Fragmentation in its plainest form: many megabytes of objects are allocated, a random few are kept, and
// then the program idles along with light churn while the allocator has time to give memory back.
//
//   frag_synthetic SIZE KEEP THREADS [SECONDS [MEGABYTES [SAMPLES]]]
//
// SIZE is a number of bytes or "mixed"; one in KEEP objects is kept; SECONDS of churn (4); MEGABYTES of
// objects (200); SAMPLES is a file for Pss over time: seconds since boot, KiB over what it was before.
//
// Every byte of an object depends on its address, its size and a seed of its own; all are checked again and
// again during the churn, at its end, and when they are freed. The test's own table lies in memory that is
// mapped and touched before the first measurement, so that it cancels out.
//
// Prints one line: size, keep, threads, live and resident KiB (Pss over what it was before), their ratio, CPU
// seconds.
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "pss.h"
#include "workload.h"

enum {
  MIXED = 0,
  MIXED_MIN = 16,
  MIXED_MAX = 2048,
  // A tick is about a millisecond.
  REPLACED_PER_TICK = 8,
  REWRITTEN_PER_TICK = 8,
  CHECKED_BYTES_PER_TICK = 64 << 10,
  SAMPLE_TICKS = 40,
};

typedef struct {
  unsigned char *bytes;
  uint32_t size;
  uint32_t seed;
} Object;

typedef struct {
  pthread_t thread;
  Rng rng;
  Object *objects;
  size_t used;
  size_t next_checked;
  uint64_t live_bytes;
  bool samples;  // this one takes the samples
} Mutator;

static size_t object_size, keep, seconds = 4, bytes_each;
static FILE *samples;
static long before_kb;
static pthread_barrier_t all_settled, measured;

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long resident_kb(void) { return pss_kb("/proc/self/smaps_rollup") - before_kb; }

static void take_sample(void) {
  if (!samples) return;
  fprintf(samples, "%.3f %ld\n", now(CLOCK_BOOTTIME), resident_kb());
}

static size_t pick_size(Rng *rng) {
  if (object_size != MIXED) return object_size;
  // Uniform within a random doubling.
  size_t base = MIXED_MIN;
  for (size_t doublings = rng_below(rng, 7); doublings > 0; doublings--) base *= 2;
  size_t size = rng_range(rng, base, 2 * base - 1);
  return size < MIXED_MAX ? size : MIXED_MAX;
}

static uint64_t pattern_start(const Object *object) {
  return (uint64_t)(uintptr_t)object->bytes * 0x9e3779b97f4a7c15u +
         ((uint64_t)object->seed << 32 | object->size);
}

static void object_write(Object *object, uint32_t seed) {
  object->seed = seed;
  uint64_t word = pattern_start(object);
  size_t at = 0;
  for (; at + sizeof word <= object->size; at += sizeof word, word += 0xbf58476d1ce4e5b9u)
    memcpy(object->bytes + at, &word, sizeof word);
  memcpy(object->bytes + at, &word, object->size - at);
}

static void object_check(const Object *object) {
  uint64_t word = pattern_start(object);
  size_t at = 0;
  for (; at + sizeof word <= object->size; at += sizeof word, word += 0xbf58476d1ce4e5b9u)
    if (memcmp(object->bytes + at, &word, sizeof word)) die("object was changed");
  if (memcmp(object->bytes + at, &word, object->size - at)) die("object was changed");
}

static void object_new(Mutator *mutator, Object *object) {
  object->size = (uint32_t)pick_size(&mutator->rng);
  object->bytes = must(malloc(object->size));
  object_write(object, (uint32_t)rng_next(&mutator->rng));
  mutator->live_bytes += object->size;
}

static void object_delete(Mutator *mutator, Object *object) {
  object_check(object);
  mutator->live_bytes -= object->size;
  free(object->bytes);
}

static void fill(Mutator *mutator) {
  while (mutator->live_bytes < bytes_each) {
    object_new(mutator, &mutator->objects[mutator->used++]);
    if (mutator->samples && mutator->used % 65536 == 0) take_sample();
  }
}

static void thin_out(Mutator *mutator) {
  size_t kept = 0;
  for (size_t i = 0; i < mutator->used; i++) {
    if (rng_below(&mutator->rng, keep))
      object_delete(mutator, &mutator->objects[i]);
    else
      mutator->objects[kept++] = mutator->objects[i];
    if (mutator->samples && i % 65536 == 0) take_sample();
  }
  mutator->used = kept;
}

static void tick(Mutator *mutator) {
  for (int i = 0; i < REPLACED_PER_TICK; i++) {
    Object *object = &mutator->objects[rng_below(&mutator->rng, mutator->used)];
    object_delete(mutator, object);
    object_new(mutator, object);
  }
  for (int i = 0; i < REWRITTEN_PER_TICK; i++) {
    Object *object = &mutator->objects[rng_below(&mutator->rng, mutator->used)];
    object_check(object);
    object_write(object, (uint32_t)rng_next(&mutator->rng));
  }
  for (size_t checked = 0; checked < CHECKED_BYTES_PER_TICK;) {
    if (mutator->next_checked >= mutator->used) mutator->next_checked = 0;
    const Object *object = &mutator->objects[mutator->next_checked++];
    object_check(object);
    checked += object->size;
  }
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *mutate(void *arg) {
  Mutator *mutator = arg;
  fill(mutator);
  thin_out(mutator);
  if (mutator->used == 0) die("nothing was kept");
  double end = now(CLOCK_MONOTONIC) + (double)seconds;
  for (size_t ticks = 0; now(CLOCK_MONOTONIC) < end; ticks++) {
    tick(mutator);
    if (mutator->samples && ticks % SAMPLE_TICKS == 0) take_sample();
  }
  pthread_barrier_wait(&all_settled);
  if (!mutator->samples) pthread_barrier_wait(&measured);
  return NULL;
}

static void *map_touched(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("no memory for the table");
  return memory;
}

static uint64_t check_and_free(Mutator *mutator) {
  for (size_t i = 0; i < mutator->used; i++) object_check(&mutator->objects[i]);
  for (size_t i = 0; i < mutator->used; i++) object_delete(mutator, &mutator->objects[i]);
  return mutator->live_bytes;
}

int main(int argc, char **argv) {
  static Mutator mutators[MAX_THREADS];
  if (argc < 4) {
    fprintf(stderr, "usage: frag_synthetic SIZE|mixed KEEP THREADS [SECONDS [MEGABYTES [SAMPLES]]]\n");
    return 2;
  }
  object_size = strcmp(argv[1], "mixed") ? arg_number(argc, argv, 1, 0) : MIXED;
  keep = arg_number(argc, argv, 2, 4);
  size_t threads = arg_number(argc, argv, 3, 1);
  seconds = arg_number(argc, argv, 4, seconds);
  bytes_each = (arg_number(argc, argv, 5, 200) << 20) / (threads ? threads : 1);
  if (argc > 6 && !(samples = fopen(argv[6], "we"))) die("cannot write the samples");
  if (threads == 0 || threads > MAX_THREADS || keep == 0 ||
      (object_size == MIXED && strcmp(argv[1], "mixed")))
    die("bad arguments");

  size_t capacity = bytes_each / (object_size == MIXED ? MIXED_MIN : object_size) + 1;
  Object *table = map_touched(threads * capacity * sizeof *table);
  before_kb = pss_kb("/proc/self/smaps_rollup");
  take_sample();

  // The main thread is the first mutator, so that "one thread" means one.
  pthread_barrier_init(&all_settled, NULL, (unsigned)threads);
  pthread_barrier_init(&measured, NULL, (unsigned)threads);
  for (size_t i = 0; i < threads; i++)
    mutators[i] = (Mutator){.rng = {i + 1}, .objects = table + i * capacity, .samples = i == 0};
  for (size_t i = 1; i < threads; i++)
    if (pthread_create(&mutators[i].thread, NULL, mutate, &mutators[i])) die("no thread");
  mutate(&mutators[0]);

  long kb = resident_kb();
  uint64_t live = 0, left = 0;
  for (size_t i = 0; i < threads; i++) live += mutators[i].live_bytes;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  take_sample();
  pthread_barrier_wait(&measured);

  // By the main thread, so that with several threads most of this is freed by another one than allocated it.
  for (size_t i = 1; i < threads; i++) pthread_join(mutators[i].thread, NULL);
  for (size_t i = 0; i < threads; i++) left += check_and_free(&mutators[i]);
  if (left) die("bytes left over");

  printf("size=%s keep=1/%zu threads=%zu live_kb=%llu resident_kb=%ld ratio=%.3f cpu=%.2f\n", argv[1], keep,
         threads, (unsigned long long)(live >> 10), kb, (double)kb / ((double)live / 1024),
         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  return 0;
}
