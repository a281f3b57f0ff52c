// The matcher on random bitmaps: frames left for each span, and the time that took.
//
//   match_bench [RUNS [STEP]]     (3, 100000)
//
// For each case a span's slots are live with probability p, independently. Prints live slots over all slots
// (no matcher can go below), groups over spans, the least processor time of RUNS runs, the longest call of
// one step with a budget of STEP nanoseconds in that run, and the memory used.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bits.h"
#include "mesh_match.h"
#include "rng.h"

typedef struct Case {
  size_t spans, slots;
  double p;
} Case;

static const Case cases[] = {
    {20000, 8, 0.30},    {20000, 8, 0.50},     {20000, 16, 0.30},    {20000, 16, 0.50},   {20000, 32, 0.20},
    {20000, 32, 0.30},   {20000, 64, 0.20},    {20000, 128, 0.05},   {20000, 256, 0.05},  {20000, 256, 0.10},
    {20000, 16, 0.95},   {20000, 256, 0.15},   {200000, 16, 0.30},   {200000, 32, 0.30},  {200000, 64, 0.20},
    {65536, 256, 0.125}, {131072, 128, 0.125}, {1000000, 16, 0.125}, {1000000, 32, 0.30}, {2000, 4096, 0.02},
};

typedef struct Result {
  double seconds, longest_step;
  size_t groups;
} Result;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *must_have(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) exit((perror("match_bench"), 1));
  return memory;
}

static uint64_t *random_bitmaps(const Case *c) {
  size_t words = bitmap_words(c->slots);
  uint64_t *bitmaps = must_have(c->spans * words * sizeof *bitmaps);
  uint32_t live_below = (uint32_t)(c->p * 4294967296.0);
  Rng rng;
  rng_seed(&rng, 1);
  for (size_t i = 0; i < c->spans; i++) {
    for (size_t w = 0; w < words; w++) bitmaps[i * words + w] = 0;
    for (size_t s = 0; s < c->slots; s++)
      if (rng_next(&rng) < live_below) bitmap_set(bitmaps + i * words, s);
  }
  return bitmaps;
}

static Result run(const Case *c, const uint64_t *bitmaps, void *memory, size_t step) {
  MeshMatch match;
  Result result = {0, 0, 0};
  double start = now(), before = start;
  mesh_match_begin(&match, memory, bitmaps, c->spans, c->slots);
  for (bool done = false; !done;) {
    done = mesh_match_step(&match, step);
    double after = now();
    if (after - before > result.longest_step) result.longest_step = after - before;
    before = after;
  }
  result.seconds = before - start;
  result.groups = match.groups;
  return result;
}

static void report_case(const Case *c, int runs, size_t step) {
  uint64_t *bitmaps = random_bitmaps(c);
  size_t bytes = mesh_match_memory(c->spans, c->slots);
  void *memory = must_have(bytes);
  Result best = run(c, bitmaps, memory, step);
  for (int i = 1; i < runs; i++) {
    Result result = run(c, bitmaps, memory, step);
    if (result.seconds < best.seconds) best = result;
  }
  double live = (double)bitmap_count(bitmaps, c->spans * bitmap_words(c->slots) * 64);
  double spans = (double)c->spans;
  printf("%8zu %6zu %6.3f %7.4f %7.4f %9.1f %9.0f %8.1f\n", c->spans, c->slots, c->p,
         live / spans / (double)c->slots, (double)best.groups / spans, best.seconds * 1e3,
         best.longest_step * 1e6, (double)bytes / (double)MIB);
  fflush(stdout);
  free(memory);
  free(bitmaps);
}

int main(int argc, char **argv) {
  int runs = argc > 1 ? atoi(argv[1]) : 3;
  size_t step = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
  printf("%8s %6s %6s %7s %7s %9s %9s %8s\n", "spans", "slots", "p", "floor", "ratio", "ms", "step us",
         "MiB");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) report_case(&cases[i], runs, step);
  return 0;
}
