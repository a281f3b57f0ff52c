// A cache with a memory limit that throws out the oldest of a few entries picked at random, as Redis does,
// filled first with values of one length and then with longer ones: what is left of the first lies thinly
// over all the pages that they once filled. With IDLE, that many seconds of rest follow, in which an
// allocator may give memory back, and then resident memory (Pss) is shown on standard error. cache LIMIT_MB
// FIRST LENGTH SECOND LENGTH IDLE
#include <time.h>

#include "pss.h"
#include "workload.h"

typedef struct {
  char *key;
  char *value;
  uint64_t age;
  uint32_t number;
  uint32_t length;
} Entry;

typedef struct {
  Entry **entries;  // dense; a removed entry's place is taken by the last
  size_t used, capacity;
  size_t bytes, limit;
  uint64_t clock;
  Rng rng;
} Cache;

enum { SAMPLES = 5 };

static void cache_evict(Cache *cache) {
  size_t oldest = rng_below(&cache->rng, cache->used);
  for (int i = 1; i < SAMPLES; i++) {
    size_t other = rng_below(&cache->rng, cache->used);
    if (cache->entries[other]->age < cache->entries[oldest]->age) oldest = other;
  }
  Entry *entry = cache->entries[oldest];
  cache->entries[oldest] = cache->entries[--cache->used];
  block_check(entry->value, entry->length, entry->number);
  cache->bytes -= sizeof *entry + strlen(entry->key) + entry->length;
  free(entry->key);
  free(entry->value);
  free(entry);
}

static void cache_insert(Cache *cache, const char *prefix, uint32_t number, uint32_t length) {
  char key[32];
  snprintf(key, sizeof key, "%s:%u", prefix, number);
  if (cache->used == cache->capacity) {
    cache->capacity = cache->capacity ? 2 * cache->capacity : 1024;
    cache->entries = must(realloc(cache->entries, cache->capacity * sizeof *cache->entries));
  }
  Entry *entry = must(malloc(sizeof *entry));
  *entry = (Entry){.key = must(strdup(key)), .age = cache->clock++, .number = number, .length = length};
  entry->value = must(malloc(length));
  memset(entry->value, 'x', length);
  block_mark(entry->value, length, number);
  cache->entries[cache->used++] = entry;
  cache->bytes += sizeof *entry + strlen(key) + length;
}

static void cache_fill(Cache *cache, const char *prefix, size_t count, size_t length) {
  for (size_t i = 0; i < count; i++) cache_insert(cache, prefix, (uint32_t)i, (uint32_t)length);
}

static uint64_t cache_check(const Cache *cache) {
  uint64_t sum = cache->used;
  for (size_t i = 0; i < cache->used; i++) {
    const Entry *entry = cache->entries[i];
    block_check(entry->value, entry->length, entry->number);
    sum += entry->number + strlen(entry->key);
  }
  return sum;
}

int main(int argc, char **argv) {
  Cache cache = {.limit = arg_number(argc, argv, 1, 100) << 20, .rng = {1}};
  size_t first = arg_number(argc, argv, 2, 700000), first_length = arg_number(argc, argv, 3, 240);
  size_t second = arg_number(argc, argv, 4, 170000), second_length = arg_number(argc, argv, 5, 492);
  size_t idle = arg_number(argc, argv, 6, 0);
  if (!first_length || !second_length) die("bad arguments");

  cache_fill(&cache, "asdf", first, first_length);
  cache_fill(&cache, "jkl", second, second_length);
  // Only now, as in Redis after "debug populate".
  while (cache.bytes > cache.limit) cache_evict(&cache);
  for (size_t i = 0; i < 20 * idle; i++) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);

  if (idle) fprintf(stderr, "resident %ld KiB\n", pss_kb("/proc/self/smaps_rollup"));

  uint64_t sum = cache_check(&cache);
  while (cache.used) cache_evict(&cache);
  free(cache.entries);
  return report(sum);
}
