/* mlockall by who may lock only so much: what is reserved and not used must not count. */
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "test.h"

enum { OBJECTS = 1000, SIZE = 1000 };

static size_t most; /* bytes that may be locked */

/* Bytes of what is mapped to be used. */
static size_t mapped(void) {
  char line[4096];
  size_t bytes = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) return SIZE_MAX;
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long from, to;
    char readable;
    if (sscanf(line, "%lx-%lx %c", &from, &to, &readable) == 3 && readable == 'r') bytes += to - from;
  }
  fclose(maps);
  return bytes;
}

/* Not each process may raise its limit. */
static int choose_limit(void **state) {
  (void)state;
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return -1;
  most = limit.rlim_max < 64 * MIB ? limit.rlim_max : 64 * MIB;
  return 0;
}

/* Whoever may lock all there is does so. */
static void give_up_privilege(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) _exit(10);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  if (syscall(SYS_capset, &header, data) != 0) _exit(11);
}

static void limit_locked_memory(void) {
  const struct rlimit limit = {most, most};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) _exit(12);
  give_up_privilege();
}

static bool can_allocate(size_t bytes) {
  bool can = true;
  void *last = NULL;
  for (size_t done = 0; done < bytes && can; done += SIZE) {
    void **object = malloc(SIZE);
    can = object != NULL;
    if (!can) break;
    memset(object, 1, SIZE);
    *object = last;
    last = object;
  }
  for (void *next; last != NULL; last = next) {
    next = *(void **)last;
    free(last);
  }
  return can;
}

static int status_of(void (*run)(void)) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    run();
    _exit(0);
  }
  return waitpid(child, &status, 0) == child ? status : -1;
}

static void lock_all_and_go_on(void) {
  void *objects[OBJECTS];
  for (size_t i = 0; i < OBJECTS; i++) {
    objects[i] = malloc(SIZE);
    pattern_fill(objects[i], SIZE, i);
  }
  mlock(objects[0], SIZE);
  limit_locked_memory();
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) _exit(1);
  for (size_t i = 0; i < OBJECTS; i++)
    if (pattern_mismatch(objects[i], SIZE, i) != SIZE) _exit(2);
  if (!can_allocate(most / 16)) _exit(3);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) _exit(4);
  if (munlockall() != 0 || !can_allocate(most / 16)) _exit(5);
}

/* More is mapped than may be locked: it fails as it should, and takes nothing from the heap. */
static void fail_to_lock_all(void) {
  void *big = mmap(NULL, 100 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  free(malloc(SIZE));
  limit_locked_memory();
  errno = 0;
  if (mlockall(MCL_CURRENT) == 0 || errno != ENOMEM) _exit(1);
  if (!can_allocate(100 * MIB)) _exit(2);
  munmap(big, 100 * MIB);
  if (mlockall(MCL_CURRENT) == 0 || errno != ENOMEM) _exit(3); /* the heap itself is too large by now */
  if (!can_allocate(200 * MIB)) _exit(4);
}

static void all_memory_can_be_locked(void **state) {
  (void)state;
  if (mapped() > most / 4 * 3) {
    print_message("skipped: so little may be locked that libraries are too much\n");
    skip();
  }
  assert_int_equal(status_of(lock_all_and_go_on), 0);
}

static void what_cannot_be_locked_stays_as_it_is(void **state) {
  (void)state;
  assert_int_equal(status_of(fail_to_lock_all), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_memory_can_be_locked),
      cmocka_unit_test(what_cannot_be_locked_stays_as_it_is),
  };
  return cmocka_run_group_tests(tests, choose_limit, NULL);
}
