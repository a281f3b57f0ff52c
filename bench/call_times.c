// How long single calls of malloc and free take: the longest and how many were long, in CPU time of the calling
// thread, so that others' load counts less. Four phases: a heap is filled, all but one in eight objects are freed
// at random, two seconds go by with objects of twice the size coming and going (in which an allocator may give
// memory back that it freed before), and the rest is freed.
//
//   call_times [SIZE [MEGABYTES]]     (256, 512)
#include <time.h>

#include "workload.h"

enum { KEEP = 8, CHURN_SECONDS = 2, CHURNED = 1000 };

typedef struct {
  double longest;
  size_t calls, over_100_us, over_1_ms;
} Times;

static size_t size;

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void note(Times *times, double since) {
  double us = now(CLOCK_THREAD_CPUTIME_ID) - since;
  if (us > times->longest) times->longest = us;
  times->over_100_us += us > 100;
  times->over_1_ms += us > 1000;
  times->calls++;
}

static void *timed_malloc(Times *times, size_t bytes) {
  double begin = now(CLOCK_THREAD_CPUTIME_ID);
  void *block = malloc(bytes);
  note(times, begin);
  memset(must(block), 1, bytes);
  return block;
}

static void timed_free(Times *times, void *block) {
  double begin = now(CLOCK_THREAD_CPUTIME_ID);
  free(block);
  note(times, begin);
}

static void print(const char *phase, const Times *times) {
  printf("%-8s %10zu calls, longest %7.0f us, %6zu over 100 us, %4zu over 1 ms\n", phase, times->calls, times->longest,
         times->over_100_us, times->over_1_ms);
}

int main(int argc, char **argv) {
  size = arg_number(argc, argv, 1, 256);
  if (size == 0) die("bad arguments");
  size_t count = (arg_number(argc, argv, 2, 512) << 20) / size;
  Rng rng = {1};
  void **table = must(malloc(count * sizeof *table)), *churned[CHURNED] = {NULL};
  Times fill = {0}, thin = {0}, churn = {0}, empty = {0};

  for (size_t i = 0; i < count; i++) table[i] = timed_malloc(&fill, size);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (rng_below(&rng, KEEP) == 0)
      table[kept++] = table[i];
    else
      timed_free(&thin, table[i]);
  }
  for (double end = now(CLOCK_MONOTONIC) + CHURN_SECONDS * 1e6; now(CLOCK_MONOTONIC) < end;) {
    for (int i = 0; i < 100; i++) {
      void **slot = &churned[rng_below(&rng, CHURNED)];
      timed_free(&churn, *slot);
      *slot = timed_malloc(&churn, 2 * size);
    }
  }
  for (size_t i = 0; i < kept; i++) timed_free(&empty, table[i]);
  print("fill", &fill);
  print("thin out", &thin);
  print("churn", &churn);
  print("empty", &empty);
  for (int i = 0; i < CHURNED; i++) free(churned[i]);
  free(table);
  return 0;
}
