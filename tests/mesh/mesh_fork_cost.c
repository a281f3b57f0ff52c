/* What fork costs, heap unmeshed and meshed: run it with libmesh preloaded, and without for comparison.

   mesh_fork_cost [MEGABYTES [FORKS]]    Prints milliseconds, of the clock and of processor time; fails never. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../dice.h"
#include "mallctl.h"

enum { SIZE = 256, KEEP_ONE_IN = 8 };

typedef struct Cost {
  double wall, cpu; /* ms */
} Cost;

static double clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void fork_once(Cost *sum) {
  const double wall = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(CLOCK_THREAD_CPUTIME_ID);
  pid_t child = fork();
  if (child == 0) _exit(0);
  sum->cpu += clock_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
  sum->wall += clock_ms(CLOCK_MONOTONIC) - wall;
  if (child > 0) waitpid(child, NULL, 0);
}

/* The first fork pays for what was meshed; later ones find it parted. */
static void measure(const char *name, int forks) {
  Cost first = {0}, rest = {0};
  const int more = forks > 1 ? forks - 1 : 1;
  fork_once(&first);
  for (int i = 1; i < forks; i++) fork_once(&rest);
  printf("%-30s first %7.2f ms (processor %7.2f), then %7.2f ms (%7.2f) each\n", name, first.wall, first.cpu,
         rest.wall / more, rest.cpu / more);
}

int main(int argc, char **argv) {
  size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) << 20;
  int forks = argc > 2 ? atoi(argv[2]) : 10;
  size_t count = bytes / SIZE;
  struct dice dice = {1};
  void **object = malloc(count * sizeof *object);
  if (object == NULL) return 1;
  measure("empty heap", forks);
  for (size_t i = 0; i < count; i++) {
    object[i] = malloc(SIZE);
    if (object[i] != NULL) memset(object[i], 1, SIZE);
  }
  measure("full heap, nothing meshed", forks);
  for (size_t i = 0; i < count; i++)
    if (dice_below(&dice, KEEP_ONE_IN) != 0) free(object[i]);
  compact();
  printf("%zu MB meshed\n", mallctl_figure("stats.meshed") >> 20);
  measure("one object in eight left, meshed", forks);
  return 0;
}
