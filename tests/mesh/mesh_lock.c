/* Locked memory: mlock keeps an object's page locked, mlockall does not make the window resident, and after
   munlockall meshing goes on. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mallctl.h"
#include "sparse.h"

enum { OBJECTS = 4000, SIZE = 256, SKIPPED = 77 };

static struct sparse heap;

static void fail(const char *what) {
  printf("mesh_lock: %s\n", what);
  exit(1);
}

/* KiB, of a line of /proc/self/status. */
static size_t status(const char *name) {
  char line[256];
  size_t kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) fail("/proc/self/status cannot be read");
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, strlen(name)) == 0) kib = strtoul(line + strlen(name) + 1, NULL, 10);
  fclose(file);
  return kib;
}

static void mark(void) {
  for (size_t i = 0; i < OBJECTS; i++) memset(heap.object[i], (int)i, SIZE);
}

static void check(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    for (size_t at = 0; at < SIZE; at++)
      if (((unsigned char *)heap.object[i])[at] != (unsigned char)i) fail("an object changed");
}

/* Each page that an object lies on. */
static void lock_one_keeps_it(void) {
  const size_t before = status("VmLck:");
  if (mlock(heap.object[0], SIZE) != 0) return; /* none is allowed */
  const size_t locked = status("VmLck:") - before;
  if (locked == 0) fail("mlock locked nothing");
  compact();
  check();
  if (status("VmLck:") - before != locked) fail("meshing unlocked a page");
  if (munlock(heap.object[0], SIZE) != 0) fail("munlock");
}

int main(void) {
  struct dice dice = {1};
  heap = sparse_new(OBJECTS, SIZE, &dice);
  mark();
  lock_one_keeps_it();
  if (compact() == 0 && mallctl_figure("stats.meshed") == 0) {
    printf("mesh_lock: nothing meshes here, left out\n");
    return SKIPPED;
  }
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    printf("mesh_lock: may not lock all memory, left out\n");
    return SKIPPED;
  }
  if (status("VmRSS:") > 512 << 10) fail("mlockall made the window resident");
  check();
  compact();
  if (mallctl_figure("stats.meshed") != 0) fail("locked memory was meshed");
  if (munlockall() != 0) fail("munlockall");
  if (compact() == 0) fail("meshing did not go on");
  check();
  mark();
  check();
  sparse_free(&heap);
  puts("mesh_lock: ok");
  return 0;
}
