/* Locked memory: mlock keeps an object's page locked, mlockall does not make the window resident, and after
   munlockall, or in a child, meshing goes on. */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mallctl.h"
#include "sparse.h"

enum { OBJECTS = 4000, SIZE = 256, RESIDENT_MAX_KIB = 512 << 10, SKIPPED = 77 };

static struct sparse heap;

static void fail(const char *what) {
  printf("mesh_lock: %s\n", what);
  exit(1);
}

/* KiB, of a line of /proc/PID/status. */
static size_t status(pid_t pid, const char *name) {
  char line[256];
  size_t kib = 0;
  snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
  FILE *file = fopen(line, "r");
  if (file == NULL) return 0;
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
  const size_t before = status(getpid(), "VmLck:");
  if (mlock(heap.object[0], SIZE) != 0) return; /* none is allowed */
  const size_t locked = status(getpid(), "VmLck:") - before;
  if (locked == 0) fail("mlock locked nothing");
  compact();
  check();
  if (status(getpid(), "VmLck:") - before != locked) fail("meshing unlocked a page");
  if (munlock(heap.object[0], SIZE) != 0) fail("munlock");
}

/* The window is a terabyte of holes: whoever fills them must be stopped early. */
static void watch(void) {
  const pid_t parent = getpid(), child = fork();
  if (child < 0) fail("fork");
  if (child > 0) return;
  while (getppid() == parent) {
    if (status(parent, "RssShmem:") > RESIDENT_MAX_KIB) {
      puts("mesh_lock: the window is resident");
      fflush(stdout);
      kill(parent, SIGKILL);
    }
    usleep(2000);
  }
  _exit(0);
}

static bool meshes(void) {
  compact();
  return mallctl_figure("stats.meshed") > 0;
}

/* Locks are not inherited. */
static void child_meshes(void) {
  int result = -1;
  const pid_t child = fork();
  if (child == 0) _exit(meshes() ? 0 : 1);
  if (waitpid(child, &result, 0) != child || result != 0) fail("the child of who locked all memory does not mesh");
}

static int by_libc(bool lock) { return lock ? mlockall(MCL_CURRENT | MCL_FUTURE) : munlockall(); }

static int by_number(bool lock) {
  return (int)(lock ? syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE) : syscall(SYS_munlockall));
}

/* False if this process may not. */
static bool lock_all(int (*call)(bool lock)) {
  if (call(true) != 0) return false;
  if (status(getpid(), "VmRSS:") > RESIDENT_MAX_KIB) fail("mlockall made the window resident");
  check();
  if (meshes()) fail("locked memory was meshed");
  if (mlockall(0) == 0 || meshes()) fail("a failed mlockall ended what another began");
  child_meshes();
  if (meshes()) fail("locked memory was meshed after a fork");
  if (call(false) != 0) fail("munlockall");
  if (!meshes()) fail("meshing did not go on");
  check();
  return true;
}

/* Each object, and then all at once the other way. */
static void unlock_all_that_mlock_locked(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (mlock(heap.object[i], SIZE) != 0) return; /* that many may not be */
  if (meshes()) fail("locked objects were meshed");
  if (munlockall() != 0) fail("munlockall");
  if (!meshes()) fail("objects that munlockall unlocked are not meshed");
}

int main(void) {
  watch();
  struct dice dice = {1};
  heap = sparse_new(OBJECTS, SIZE, &dice);
  mark();
  lock_one_keeps_it();
  if (!meshes()) {
    printf("mesh_lock: nothing meshes here, left out\n");
    return SKIPPED;
  }
  if (mlockall(0) == 0) fail("mlockall without flags");
  if (!meshes()) fail("a failed mlockall ended meshing");
  if (!lock_all(by_libc) || !lock_all(by_number)) {
    printf("mesh_lock: may not lock all memory, left out\n");
    return SKIPPED;
  }
  unlock_all_that_mlock_locked();
  mark();
  check();
  sparse_free(&heap);
  puts("mesh_lock: ok");
  return 0;
}
