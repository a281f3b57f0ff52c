/* Meshing where the system refuses: no mapping, no memory, no address space to be had, at any moment of a pass. Every
   byte of every object stays, the program goes on allocating and forks, and once the limit is gone all is as before.

   mesh_limits [PART]   All parts, each in a process of its own. Ends with 77 where nothing can be meshed. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../dice.h"
#include "../pattern.h"
#include "../process_memory.h"
#include "mallctl.h"

enum { OBJECTS = 60000, SKIP = 77, PART_SECONDS = 100 };
#define MEGABYTE ((size_t)1 << 20)

static struct {
  void *address; /* NULL if there is none */
  size_t size;
} objects[OBJECTS];

static struct dice dice = {1};
static const char *part_name = "";

static void fail(const char *what) {
  fprintf(stderr, "mesh_limits %s: %s, errno %d; meshed %.1f MB, allocated %.1f MB\n", part_name, what, errno,
          (double)mallctl_figure("stats.meshed") / MEGABYTE, (double)mallctl_figure("stats.allocated") / MEGABYTE);
  _exit(1);
}

/* ------------------------------------------------------------------------------------------ the heap */

/* Few sizes: every class is worth a pass. The last two have spans of several pages. */
static size_t size_of(size_t i) {
  static const size_t sizes[] = {128, 256, 512, 640, 1536, 2304};
  return sizes[i % (sizeof sizes / sizeof *sizes)];
}

/* NULL with ENOMEM is an answer too, under a limit. */
static void fill(bool must) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (objects[i].address != NULL) continue;
    objects[i].size = size_of(i);
    objects[i].address = malloc(objects[i].size);
    if (objects[i].address != NULL)
      pattern_fill(objects[i].address, objects[i].size, i);
    else if (must || errno != ENOMEM)
      fail("malloc fails");
  }
}

static void thin(size_t keep_one_in) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (dice_below(&dice, keep_one_in) == 0) continue;
    free(objects[i].address);
    objects[i].address = NULL;
  }
}

static void verify(const char *when) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (objects[i].address == NULL) continue;
    size_t at = pattern_mismatch(objects[i].address, objects[i].size, i);
    if (at == objects[i].size) continue;
    fprintf(stderr, "mesh_limits %s: %s: object %zu at %p: byte %zu is wrong\n", part_name, when, i, objects[i].address,
            at);
    _exit(1);
  }
}

/* Through every mapping: none may be left read-only. */
static void store_and_verify(const char *when) {
  verify(when);
  for (size_t i = 0; i < OBJECTS; i++)
    if (objects[i].address != NULL) pattern_fill(objects[i].address, objects[i].size, i);
  verify(when);
}

static void mesh(const char *when) {
  compact();
  store_and_verify(when);
}

/* A heap that has just been meshed. */
static void begin(void) {
  fill(true);
  thin(4);
  mesh("without a limit");
  if (mallctl_figure("stats.meshed") == 0) {
    printf("skipped: nothing can be meshed here\n");
    exit(SKIP);
  }
}

static void end(void) {
  fill(true);
  thin(4);
  sleep(1); /* what failed is tried again only after a while */
  mesh("after the limit");
  if (mallctl_figure("stats.meshed") == 0) fail("nothing is meshed any more");
  thin(1 << 30);
  compact();
  if (mallctl_figure("stats.meshed") != 0) fail("something is meshed though nothing is allocated");
}

/* The child uses its heap as the parent does. To have no child is an answer under a limit. */
static void try_fork(void) {
  int status = 0;
  pid_t child = fork();
  if (child < 0) {
    if (errno != ENOMEM && errno != EAGAIN) fail("fork fails");
    return;
  }
  if (child == 0) {
    alarm(PART_SECONDS);
    verify("in a child");
    mesh("in a child that meshes");
    thin(2);
    fill(false);
    mesh("in a child that has freed and allocated");
    _exit(0);
  }
  store_and_verify("with a child");
  if (waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "mesh_limits %s: a child ends with status %#x\n", part_name, status);
    _exit(1);
  }
}

/* -------------------------------------------------------------------------------- the mapping limit */

static char *row;             /* pages of which every other is writable: each a mapping */
static size_t row_used, page; /* row_used: pages up to which that is so */

static void take_all_mappings(void) {
  for (; mprotect(row + row_used * page, page, PROT_READ | PROT_WRITE) == 0; row_used += 2) continue;
}

/* `count` mappings, or one less or more. */
static void give_mappings_back(size_t count) {
  for (; count >= 2 && row_used >= 2; count -= 2) {
    row_used -= 2;
    mprotect(row + row_used * page, page, PROT_NONE);
  }
}

static void maps_part(void) {
  static const size_t left[] = {0, 2, 4, 6, 8, 10, 14, 20, 40, 100, 400};
  page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t pages = 400000;
  begin();
  row = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (row == MAP_FAILED) fail("mmap fails");
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
    take_all_mappings();
    if (row_used >= pages - 2) {
      printf("maps: skipped: the limit is too high to be reached\n");
      exit(SKIP);
    }
    give_mappings_back(left[i]);
    thin(2);
    mesh("few mappings left");
    fill(false);
    store_and_verify("few mappings left, after allocating");
    thin(3);
    mesh("few mappings left, again");
    if (i % 4 == 0) try_fork();
    if (i % 2 == 0) give_mappings_back(2000); /* so that there is something meshed when the limit comes again */
    fill(false);
    thin(4);
    mesh("more mappings left");
  }
  munmap(row, pages * page);
  end();
}

/* A heap that has just been meshed, and no mapping left, not even in the place of another. */
static void begin_and_take_all(size_t pages) {
  begin();
  row_used = 0;
  row = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (row == MAP_FAILED) fail("mmap fails");
  take_all_mappings();
  if (row_used >= pages - 2) {
    printf("full-maps: skipped: the limit is too high to be reached\n");
    exit(SKIP);
  }
  while (mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) continue;
  if (mallctl_figure("stats.meshed") == 0) fail("nothing is meshed any more");
}

/* A program that has used up its mappings forks as without libmesh, and so do functions of libc. */
static void full_maps_part(void) {
  const size_t pages = 400000;
  int status = 0;
  page = (size_t)sysconf(_SC_PAGESIZE);
  begin_and_take_all(pages);
  pid_t child = fork();
  if (child < 0) fail("fork fails where no mapping is left");
  if (child == 0) {
    store_and_verify("in a child");
    _exit(0);
  }
  store_and_verify("with a child");
  if (waitpid(child, &status, 0) != child || status != 0) fail("a child ends badly");
  munmap(row, pages * page);
  end();
  begin_and_take_all(pages);
  if (daemon(1, 1) != 0) fail("daemon fails where no mapping is left");
  store_and_verify("in a daemon");
  _exit(0);
}

/* -------------------------------------------------------------------------------------- RLIMIT_DATA */

/* In bytes, of the fields of /proc/self/statm: 0 is all address space, 5 what RLIMIT_DATA counts. */
static size_t statm(int field) {
  char text[200];
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL || fgets(text, sizeof text, file) == NULL) fail("no /proc/self/statm");
  fclose(file);
  char *at = text;
  for (; field > 0; field--) strtoul(at, &at, 10);
  return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* By the system call itself: a libmesh that hears of a limit makes room below it. */
static void set_limit(int resource, rlim_t soft) {
  struct rlimit limit;
  getrlimit(resource, &limit);
  limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
  if (syscall(SYS_prlimit64, 0, resource, &limit, NULL) != 0) fail("prlimit64 fails");
}

static void live_under_limit(void) {
  thin(2);
  mesh("under the limit");
  try_fork();
  fill(false);
  store_and_verify("under the limit, after allocating");
  thin(3);
  mesh("under the limit, again");
  try_fork();
}

static void data_part(void) {
  begin();
  for (size_t more = 0; more <= 4 * MEGABYTE; more = 2 * more + 65536) {
    set_limit(RLIMIT_DATA, statm(5) + more);
    live_under_limit();
    set_limit(RLIMIT_DATA, RLIM_INFINITY);
    fill(true);
    thin(4);
    mesh("between limits");
  }
  end();
}

/* --------------------------------------------------------------------------------------- RLIMIT_AS */

static void space_part(void) {
  begin();
  for (int below = 0; below < 3; below++) {
    static const size_t less[] = {0, MEGABYTE, 100 * MEGABYTE};
    set_limit(RLIMIT_AS, statm(0) - less[below]);
    live_under_limit();
    set_limit(RLIMIT_AS, RLIM_INFINITY);
    fill(true);
    thin(4);
    mesh("between limits");
  }
  end();
}

static void *touch(void *argument) {
  free(malloc(1000));
  return argument;
}

static void space_for_the_program(const char *when) {
  pthread_t thread;
  void *p = mmap(NULL, 20 * MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) fail(when);
  munmap(p, 20 * MEGABYTE);
  if (pthread_create(&thread, NULL, touch, NULL) != 0) fail(when);
  pthread_join(thread, NULL);
}

static void lower_in_child_of_vfork(const struct rlimit *low) {
  const size_t before = statm(0);
  pid_t child = vfork();
  if (child == 0) _exit(setrlimit(RLIMIT_AS, low) != 0);
  waitpid(child, NULL, 0);
  if (statm(0) != before) fail("a child of vfork gave this process's address space away");
}

/* MiB that can be allocated. */
static size_t room_for_blocks(void) {
  void *block = NULL, *last = NULL;
  size_t blocks = 0;
  for (; (block = malloc(MEGABYTE)) != NULL; last = block, blocks++) *(void **)block = last;
  if (errno != ENOMEM) fail("no ENOMEM at the limit");
  space_for_the_program("the heap took all room under the limit");
  for (; last != NULL; last = block) {
    block = *(void **)last;
    free(last);
  }
  return blocks;
}

static void live_under_lowered_limit(bool meshed) {
  enum { LIMIT = 400 /* MiB */ };
  fill(true);
  thin(3);
  if (meshed) mesh("before the limit");
  if (mlock(objects[0].address != NULL ? objects[0].address : &dice, 1) != 0 && errno != ENOMEM && errno != EPERM)
    fail("mlock");
  const struct rlimit low = {LIMIT * MEGABYTE, RLIM_INFINITY};
  lower_in_child_of_vfork(&low);
  if ((meshed ? prlimit(0, RLIMIT_AS, &low, NULL) : setrlimit(RLIMIT_AS, &low)) != 0) fail("no limit can be set");
  space_for_the_program("the program finds no room under the limit");
  const size_t blocks = room_for_blocks();
  if (blocks < LIMIT / 8 || blocks > LIMIT) fail("not the limit");
  live_under_limit();
}

/* Lowered by a running program, before and after the first meshing, for itself and in a child that shares its memory for
 * the moment: what the program maps itself finds room, and what it allocates comes to the limit. */
static void lowered_space_part(void) {
  for (int meshed = 0; meshed < 2; meshed++) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
      live_under_lowered_limit(meshed);
      exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0) fail("with the limit lowered");
  }
}

static void lower_to(size_t gigabytes) {
  const struct rlimit low = {gigabytes << 30, RLIM_INFINITY};
  if (setrlimit(RLIMIT_AS, &low) != 0) fail("no limit can be set");
}

/* What the heap has given back once may be the program's by the next time: what lies between its tables is, a few
 * gigabytes below its first object. */
static void lowered_twice_part(void) {
  enum { BLOCKS = 8, BELOW_GB = 6 };
  char *object = malloc(100), *block[BLOCKS];
  memset(object, 1, 100);
  lower_to(64);
  for (int i = 0; i < BLOCKS; i++) {
    char *hint = object - ((size_t)BELOW_GB << 30) + (size_t)i * (256 << 20);
    block[i] = mmap(hint, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block[i] == MAP_FAILED) fail("mmap under the lowered limit");
    memset(block[i], i, MEGABYTE);
  }
  lower_to(16);
  for (int i = 0; i < BLOCKS; i++)
    if (block[i][0] != i || block[i][MEGABYTE - 1] != i) fail("what lies where the heap was");
  fill(false);
  free(object);
}

/* The limit is there before the heap is, and there is more to allocate than it allows. */
static void small_space_part(void) {
  for (int round = 0; round < 4; round++) {
    fill(false);
    void *large = NULL, *last = NULL;
    while ((large = malloc(MEGABYTE)) != NULL) {
      *(void **)large = last;
      last = large;
    }
    thin(3);
    mesh("in a small address space");
    for (; last != NULL; last = large) {
      large = *(void **)last;
      free(last);
    }
    fill(true);
    thin(3);
    mesh("in a small address space, with space left");
    try_fork();
  }
}

/* ------------------------------------------------------------------------------------ memory cgroup */

static char group[200];

static bool group_write(const char *file, size_t value) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", group, file);
  FILE *f = fopen(path, "w");
  if (f == NULL) return false;
  bool ok = fprintf(f, "%zu\n", value) > 0;
  return fclose(f) == 0 && ok;
}

static bool limit_group(size_t bytes) {
  return group_write("memory.limit_in_bytes", bytes) || group_write("memory.max", bytes);
}

static void cgroup_part(void) {
  if (group[0] == '\0') {
    printf("cgroup: skipped: no memory cgroup can be made here\n");
    exit(SKIP);
  }
  if (!group_write("cgroup.procs", (size_t)getpid())) fail("the process cannot enter its cgroup");
  begin();
  /* What lives and is meshed, and a little: copies made ahead of what they release must find room. No fork, which
     undoes meshing. */
  if (!limit_group(process_pss() + 6 * MEGABYTE)) fail("the cgroup takes no limit");
  for (int round = 0; round < 20; round++) {
    thin(2);
    for (size_t i = 0; i < OBJECTS / 10; i++) { /* elsewhere than before */
      size_t j = dice_below(&dice, OBJECTS);
      if (objects[j].address != NULL) continue;
      objects[j].size = size_of(j);
      if ((objects[j].address = malloc(objects[j].size)) == NULL) fail("malloc fails");
      pattern_fill(objects[j].address, objects[j].size, j);
    }
    mesh("in a small cgroup");
  }
  limit_group((size_t)1 << 40);
  end();
}

static void make_group(void) {
  static const char *const roots[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
  for (int i = 0; i < 2; i++) {
    snprintf(group, sizeof group, "%s/mesh_limits.%d", roots[i], (int)getpid());
    if (mkdir(group, 0755) != 0) continue;
    if (limit_group((size_t)1 << 40)) return;
    rmdir(group);
  }
  group[0] = '\0';
}

/* --------------------------------------------------------------------------------------------- parts */

static const struct {
  const char *name;
  void (*run)(void);
  rlim_t space; /* limit from the start, bytes; 0: none */
} parts[] = {
    {"maps", maps_part, 0},
    {"full-maps", full_maps_part, 0},
    {"data", data_part, 0},
    {"space", space_part, 0},
    {"lowered-space", lowered_space_part, 0},
    {"lowered-twice", lowered_twice_part, 0},
    {"small-space", small_space_part, 256 << 20},
    {"cgroup", cgroup_part, 0},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void run_part(char *program, int i) {
  pid_t child = fork();
  if (child == 0) {
    if (parts[i].space != 0) set_limit(RLIMIT_AS, parts[i].space);
    setenv("MESH_LIMITS_GROUP", group, 1);
    execl("/proc/self/exe", program, parts[i].name, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) status = -1;
  bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIP;
  printf("%s: %s\n", parts[i].name, skipped ? "skipped" : status == 0 ? "ok" : "failed");
  if (status == 0 || skipped) return;
  fprintf(stderr, "mesh_limits %s: status %#x\n", parts[i].name, status);
  if (group[0] != '\0') rmdir(group);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    const char *inherited = getenv("MESH_LIMITS_GROUP");
    if (inherited != NULL) snprintf(group, sizeof group, "%s", inherited);
    for (int i = 0; i < PARTS; i++) {
      if (strcmp(parts[i].name, argv[1]) != 0) continue;
      part_name = argv[1];
      alarm(PART_SECONDS);
      parts[i].run();
      return 0;
    }
    return 2;
  }
  make_group();
  for (int i = 0; i < PARTS; i++) run_part(argv[0], i);
  if (group[0] != '\0') rmdir(group);
  return 0;
}
