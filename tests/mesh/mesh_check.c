/* Meshing from end to end, for several sizes: a heap of which most is freed at random is meshed, every byte is still
   there, the process is smaller by what the figures say, and nothing is left when all is freed. Halfway there is a fork,
   after which everything meshes again and nothing holds on to the memory from before.

   mesh_check [MEGABYTES]   Ends with 77 where nothing can be meshed. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../dice.h"
#include "../pattern.h"
#include "../process_memory.h"
#include "mallctl.h"

enum { WAIT_MS = 10000, PIECE_MS = 20, KEEP_ONE_IN = 4, SKIP = 77 };
#define MEGABYTE ((size_t)1 << 20)

static struct dice dice = {1};

static double megabytes(size_t bytes) { return (double)bytes / (double)MEGABYTE; }

static void expect(bool ok, const char *what, size_t size) {
  if (ok) return;
  fprintf(stderr, "mesh_check: size %zu: %s; pss %.1f MB, resident %.1f MB, meshed %.1f MB, allocated %.1f MB\n", size,
          what, megabytes(process_pss()), megabytes(mallctl_figure("stats.resident")),
          megabytes(mallctl_figure("stats.meshed")), megabytes(mallctl_figure("stats.allocated")));
  exit(1);
}

static void verify(void **object, size_t count, size_t size, const char *when) {
  for (size_t i = 0; i < count; i++) {
    size_t at = object[i] != NULL ? pattern_mismatch(object[i], size, i) : size;
    if (at == size) continue;
    fprintf(stderr, "mesh_check: %s: object %zu at %p of %zu bytes: byte %zu is wrong\n", when, i, object[i], size, at);
    exit(1);
  }
}

/* As a program that has nothing to do. */
static void wait_for_meshing(void) {
  const struct timespec piece = {0, PIECE_MS * 1000000};
  for (int ms = 0; ms < WAIT_MS && mallctl_figure("stats.meshed") == 0; ms += PIECE_MS) nanosleep(&piece, NULL);
}

/* `before` is the Pss that is not libmesh's. */
static void check_figures(size_t size, size_t before) {
  size_t pss = process_pss(), figure = mallctl_figure("stats.resident") + before;
  size_t difference = pss > figure ? pss - figure : figure - pss;
  if (difference > figure / 50 + MEGABYTE / 2) {
    fprintf(stderr, "mesh_check: the figures add up to %.2f MB\n", megabytes(figure));
    expect(false, "stats.resident is not what the kernel counts", size);
  }
}

/* Files of frames that the process has mapped. */
static size_t frame_files(void) {
  enum { MOST = 64 };
  unsigned long inode[MOST];
  size_t n = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && n < MOST && fgets(line, sizeof line, maps) != NULL) {
    if (strstr(line, "/memfd:libmesh") == NULL || sscanf(line, "%*s %*s %*s %*s %lu", &inode[n]) != 1) continue;
    size_t i = 0;
    while (inode[i] != inode[n]) i++;
    n += i == n;
  }
  if (maps != NULL) fclose(maps);
  return n;
}

static void check_fork(size_t size) {
  const size_t meshed = mallctl_figure("stats.meshed");
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
  compact();
  expect(mallctl_figure("stats.meshed") > meshed / 4 * 3, "what was meshed before a fork was not meshed again", size);
  expect(frame_files() == 1, "the memory of frames from before a fork is still held", size);
}

static void check_size(size_t size, size_t bytes) {
  const size_t count = bytes / size;
  void **object = malloc(count * sizeof *object);
  memset(object, 0, count * sizeof *object);
  const size_t before = process_pss() - mallctl_figure("stats.resident");
  for (size_t i = 0; i < count; i++) {
    object[i] = malloc(size);
    pattern_fill(object[i], size, i);
  }
  const size_t full = process_pss();
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (dice_below(&dice, KEEP_ONE_IN) == 0) {
      kept++;
      continue;
    }
    free(object[i]);
    object[i] = NULL;
  }
  wait_for_meshing();
  expect(mallctl_figure("stats.meshed") > 0, "nothing was meshed while the program slept", size);
  verify(object, count, size, "after meshing in idle time");
  compact();
  verify(object, count, size, "after mesh.compact");
  check_figures(size, before);
  size_t small = process_pss();
  printf("size %4zu: %.1f MB full, %.1f MB live, pss %.1f MB after meshing, %.1f MB meshed\n", size, megabytes(full),
         megabytes(kept * size), megabytes(small), megabytes(mallctl_figure("stats.meshed")));
  /* Pages of more slots seldom fit together. */
  if (size >= 128) expect(small < full / 4 * 3, "meshing won little", size);
  for (size_t i = 0; i < count; i++)
    if (object[i] != NULL) pattern_fill(object[i], size, i); /* through every alias */
  verify(object, count, size, "after all was stored again");
  check_fork(size);
  verify(object, count, size, "after a fork");
  for (size_t i = 0; i < count; i++) free(object[i]);
  free(object);
  compact();
  expect(mallctl_figure("stats.meshed") == 0, "something is still meshed after all was freed", size);
  expect(mallctl_figure("stats.resident") < bytes / 8, "memory is kept after all was freed", size);
  check_figures(size, before);
}

/* A heap that is sure to mesh if anything does. */
static bool meshing_works(void) {
  enum { COUNT = 16384 };
  static void *object[COUNT];
  for (int i = 0; i < COUNT; i++) object[i] = malloc(256);
  for (int i = 0; i < COUNT; i++)
    if (i % 8 != 0) free(object[i]);
  compact();
  bool works = mallctl_figure("stats.meshed") > 0;
  for (int i = 0; i < COUNT; i += 8) free(object[i]);
  compact();
  return works;
}

int main(int argc, char **argv) {
  static const size_t sizes[] = {48, 128, 256, 512, 640, 1000, 1024, 1536, 2048};
  /* With a barrier that the kernel does not wait for, objects as long as the buffers of streams on /proc, 1024
   * bytes, are kept from meshing on purpose. */
  const char *barrier = getenv("MESH_BARRIER");
  bool streams_pinned = barrier != NULL && strcmp(barrier, "uffd") != 0;
  size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) * MEGABYTE;
  if (process_pss() == 0 || !meshing_works()) {
    printf("skipped: nothing can be meshed here\n");
    return SKIP;
  }
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i] <= 896 || sizes[i] > 1024 || !streams_pinned) check_size(sizes[i], bytes);
  return 0;
}
