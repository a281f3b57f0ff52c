/* What fork costs, heap unmeshed and meshed: run it with libmesh preloaded, and without for comparison.

   mesh_fork_cost [MEGABYTES [FORKS]]    Prints milliseconds; fails never. */
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

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double fork_ms(void) {
  double begin = now_ms();
  pid_t child = fork();
  if (child == 0) _exit(0);
  double end = now_ms();
  if (child > 0) waitpid(child, NULL, 0);
  return end - begin;
}

/* The first fork pays for what was meshed; later ones find it parted. */
static void measure(const char *name, int forks) {
  double first = fork_ms(), rest = 0;
  for (int i = 1; i < forks; i++) rest += fork_ms();
  printf("%-40s first %8.2f ms, then %8.2f ms each\n", name, first,
         forks > 1 ? rest / (forks - 1) : 0);
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
