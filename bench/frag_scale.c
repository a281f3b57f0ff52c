// Fragmentation of a large heap: gigabytes of 256-byte objects, one in eight kept at random, then light churn
// and short sleeps, in which the allocator has time to give memory back.
//
//   frag_scale [MEGABYTES [SECONDS [KEEP]]]     (4096, 20, 8)
//
// Prints for each second Pss (over what it was before), CPU time and the number of mappings, and at the end
// what was given back and the kernel's page tables. Every byte of every kept object is checked at the end,
// and objects replaced in the churn also when they are freed.
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "pss.h"
#include "workload.h"

enum { SIZE = 256, WORDS = SIZE / sizeof(uint64_t), REPLACED_PER_TICK = 20 };

// The table has a word for each object: its address, and above that a tag that changes each time it is
// replaced.
enum { TAG_SHIFT = 48 };

static uint64_t *table;  // entries of freed objects are dropped
static size_t used;
static long before_kb;

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t *address_of(uint64_t entry) {
  return (uint64_t *)(uintptr_t)(entry & (((uint64_t)1 << TAG_SHIFT) - 1));
}

static uint64_t object_new(uint64_t tag) {
  uint64_t *words = must(malloc(SIZE));
  uint64_t entry = (uint64_t)(uintptr_t)words | tag << TAG_SHIFT;
  for (size_t i = 0; i < WORDS; i++) words[i] = entry + i;
  return entry;
}

static void object_check(uint64_t entry) {
  const uint64_t *words = address_of(entry);
  for (size_t i = 0; i < WORDS; i++)
    if (words[i] != entry + i) die("object was changed");
}

static long resident_kb(void) { return pss_kb("/proc/self/smaps_rollup") - before_kb; }

static size_t count_mappings(void) {
  char text[65536];
  size_t lines = 0;
  ssize_t got;
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  while (fd >= 0 && (got = read(fd, text, sizeof text)) > 0)
    for (ssize_t i = 0; i < got; i++) lines += text[i] == '\n';
  if (fd >= 0) close(fd);
  return lines;
}

// The measurements themselves cost CPU time in a heap of this size: it is taken out again.
static double measuring;

static double cpu_seconds(void) { return now(CLOCK_PROCESS_CPUTIME_ID) - measuring; }

static void print_state(const char *phase, double since) {
  double cpu = cpu_seconds(), start = now(CLOCK_PROCESS_CPUTIME_ID);
  printf("%-8s %6.1f s  pss %8.1f MB  cpu %7.2f s  mappings %zu\n", phase, now(CLOCK_MONOTONIC) - since,
         (double)resident_kb() / 1024, cpu, count_mappings());
  fflush(stdout);
  measuring += now(CLOCK_PROCESS_CPUTIME_ID) - start;
}

static void tick(Rng *rng) {
  for (int i = 0; i < REPLACED_PER_TICK; i++) {
    size_t which = rng_below(rng, used);
    object_check(table[which]);
    free(address_of(table[which]));
    table[which] = object_new(rng_next(rng) & 0xffff);
  }
  // Both ways in which servers wait.
  if (rng_next(rng) % 2)
    poll(NULL, 0, 2);
  else
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

int main(int argc, char **argv) {
  size_t count = (arg_number(argc, argv, 1, 4096) << 20) / SIZE;
  size_t seconds = arg_number(argc, argv, 2, 20);
  size_t keep = arg_number(argc, argv, 3, 8);
  Rng rng = {1};
  if (count == 0 || keep == 0) die("bad arguments");
  table = mmap(NULL, count * sizeof *table, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (table == MAP_FAILED) die("no memory for the table");
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("%zu objects of %d bytes\n", count, SIZE);
  before_kb = pss_kb("/proc/self/smaps_rollup");
  double start = now(CLOCK_MONOTONIC);

  for (size_t i = 0; i < count; i++) table[i] = object_new(i & 0xffff);
  long full_kb = resident_kb();
  print_state("full", start);

  for (size_t i = 0; i < count; i++) {
    if (rng_below(&rng, keep))
      free(address_of(table[i]));
    else
      table[used++] = table[i];
  }
  if (used == 0) die("nothing was kept");
  print_state("freed", start);
  double cpu_after_free = cpu_seconds(), churn_start = now(CLOCK_MONOTONIC);

  for (size_t second = 1; second <= seconds; second++) {
    while (now(CLOCK_MONOTONIC) < churn_start + (double)second) tick(&rng);
    print_state("churn", start);
  }
  double cpu = cpu_seconds() - cpu_after_free;
  long end_kb = resident_kb(), tables_kb = proc_value("/proc/self/status", "VmPTE:");

  for (size_t i = 0; i < used; i++) object_check(table[i]);
  for (size_t i = 0; i < used; i++) free(address_of(table[i]));
  printf(
      "live %.1f MB, resident %.1f MB, given back %.1f MB, %.2f s of CPU since the frees, page tables %.1f "
      "MB\n",
      (double)(used * SIZE) / (1 << 20), (double)end_kb / 1024, (double)(full_kb - end_kb) / 1024, cpu,
      (double)tables_kb / 1024);
  return 0;
}
