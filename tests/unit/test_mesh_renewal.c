/* What a fork leaves on frames from before it: the file that they are of goes sooner or later, whatever was in the way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "child.h"
#include "content.h"
#include "fake_kernel.h"
#include "fork.h"
#include "heap_api.h"
#include "mesh_pass.h"
#include "options.h"
#include "pin.h"
#include "unit.h"

/* As where the shared library wraps the calls: this program makes none that store into the heap. */
const bool hazard_calls_wrapped = true;

enum {
  OBJECTS = 24000,
  SIZE = 256,
  KEEP_ONE_IN = 6,
  KEEP_FEW = 2000, /* one in so many: not worth a pass */
  NO_BARRIER = 77,
};

static char *object[OBJECTS];
static Rng rng;
static char barrier[32];

/* ------------------------------------------------------------------------------------------ the heap */

static void fill(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (object[i] == NULL) content_fill(object[i] = mesh_malloc(SIZE), SIZE, i);
}

static void thin(uint32_t keep_one_in) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (rng_below(&rng, keep_one_in) == 0) continue;
    mesh_free(object[i]);
    object[i] = NULL;
  }
  mesh_trim();
}

static void check_content(void) {
  for (size_t i = 0; i < OBJECTS; i++) expect(object[i] == NULL || content_holds(object[i], SIZE, i));
}

/* A heap that has been meshed. */
static void start(void) {
  setenv("MESH_BARRIER", barrier, 1);
  setenv("MESH_SEED", "1", 1);
  rng_seed(&rng, 1);
  fake_kernel.stopped_s = 1000000;
  fill();
  thin(KEEP_ONE_IN);
  if (!barrier_choose()) _exit(NO_BARRIER);
  mesh_pass_all();
  expect(mesh_pages_released > 0);
}

/* From now on. */
static void fail_all(KernelCall call) {
  fake_kernel.failing = call;
  fake_kernel.first_fail = 1;
  fake_kernel.last_fail = UINT32_MAX;
}

/* ... none fails. */
static void count_calls(void) {
  memset(fake_kernel.calls, 0, sizeof fake_kernel.calls);
  fake_kernel.first_fail = UINT32_MAX;
}

/* As for a child; this process is the parent. */
static void part(void) {
  expect(fork_prepare());
  fork_parent();
}

static uint32_t span_of(const void *p) { return page_of(p) - miniheap_of(page_of(p))->offset; }

/* Files of frames that pages of the arena are mapped onto, by inode. */
enum { FILES_MAX = 16 };
static size_t list_files(unsigned long *inode) {
  const uintptr_t end = (uintptr_t)page_address(arena.committed);
  size_t n = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  expect(maps != NULL);
  while (n < FILES_MAX && fgets(line, sizeof line, maps) != NULL) {
    unsigned long from;
    if (strstr(line, "/memfd:libmesh") == NULL) continue;
    if (sscanf(line, "%lx-%*s %*s %*s %*s %lu", &from, &inode[n]) != 2 || from < arena.base || from >= end) continue;
    size_t i = 0;
    while (inode[i] != inode[n]) i++;
    n += i == n;
  }
  fclose(maps);
  return n;
}

static size_t files(void) {
  unsigned long inode[FILES_MAX + 1];
  return list_files(inode);
}

/* That of a heap that has just been meshed. */
static unsigned long the_file(void) {
  unsigned long inode[FILES_MAX + 1];
  expect(list_files(inode) == 1);
  return inode[0];
}

static bool is_held(unsigned long file) {
  unsigned long inode[FILES_MAX + 1];
  const size_t n = list_files(inode);
  size_t i = 0;
  while (i < n && inode[i] != file) i++;
  return i < n;
}

/* What is due so much later is done. */
static MeshProgress work_after(uint32_t ms) {
  MeshProgress progress;
  fake_kernel.ahead_ms += ms;
  while ((progress = mesh_pass_work(1000000)) == MESH_MORE) continue;
  return progress;
}

static void assert_passes(ChildBody *body) {
  Child child = child_run(body, NULL);
  if (child.exit_code == NO_BARRIER) skip();
  if (child.exit_code != 0)
    fail_msg("%s: exit code %d, signal %d: %s", barrier, child.exit_code, child.signal, child.text);
}

/* ------------------------------------------------------------------------------------------- pinned */

static char *object_on_frame(void) {
  for (;;) {
    char *p = object[rng_below(&rng, OBJECTS)];
    if (p != NULL && frame_is_current(miniheap_of(span_of(p))->frame) && !pin_holds(span_of(p))) return p;
  }
}

/* Before anything was renewed. */
static void pin_after_forks(void *unused) {
  (void)unused;
  start();
  for (int i = 0; i < 4; i++) {
    char *p = object_on_frame();
    part();
    expect(pin(p, SIZE));
    mesh_pass_all();
    check_content();
    expect(files() == 1);
  }
}

TEST(a_pin_after_a_fork_holds_on_to_no_file) { assert_passes(pin_after_forks); }

/* Somebody knows its pages by now. */
static void pin_twice(void *unused) {
  (void)unused;
  start();
  count_calls();
  char *p = object_on_frame();
  part();
  fake_kernel.calls[REPLACE_CALL] = 0;
  expect(pin(p, SIZE));
  expect(fake_kernel.calls[REPLACE_CALL] == 1);
  for (int i = 0; i < 3; i++) {
    const uint32_t frame = miniheap_of(span_of(p))->frame;
    fake_kernel.calls[REPLACE_CALL] = 0;
    expect(pin(p, SIZE));
    expect(fake_kernel.calls[REPLACE_CALL] == 0);
    mesh_pass_all();
    part();
    expect(miniheap_of(span_of(p))->frame == frame);
  }
}

/* What could not leave its file when it was pinned stays there. */
static void pin_and_stay(void *unused) {
  (void)unused;
  start();
  char *p = object_on_frame();
  part();
  fail_all(REPLACE_CALL);
  expect(pin(p, SIZE));
  count_calls();
  expect(pin(p, SIZE));
  expect(fake_kernel.calls[REPLACE_CALL] == 0);
  mesh_pass_all();
  check_content();
  expect(files() == 2);
}

TEST(what_is_pinned_stays_where_it_is) {
  assert_passes(pin_twice);
  assert_passes(pin_and_stay);
}

/* --------------------------------------------------------------------------------- could not be moved */

/* The system has no mapping for it, while all is tried. */
static void fail_and_try_again(void *unused) {
  (void)unused;
  start();
  const unsigned long file = the_file();
  part();
  fill(); /* nothing to mesh, and so nothing moved but by the renewal */
  fail_all(ALIAS_CALL);
  mesh_pass_all();
  expect(fake_kernel.failed > 0 && is_held(file));
  fake_kernel.first_fail = 0;
  work_after(2 * MESH_BACKOFF_MAX_MS);
  check_content();
  expect(!is_held(file));
}

/* Ever later: the program may be asleep. */
static void fail_ever_later(void *unused) {
  (void)unused;
  enum { LOOKS = 120, LOOK_MS = 5000 };
  start();
  const unsigned long file = the_file();
  part();
  fill();
  fail_all(ALIAS_CALL);
  unsigned tried = 0;
  for (int i = 0; i < LOOKS; i++) {
    const unsigned failed = fake_kernel.failed;
    expect(work_after(LOOK_MS) == MESH_LATER);
    tried += fake_kernel.failed > failed;
  }
  expect(tried >= LOOKS / 2 - 2 && tried <= LOOKS / 2 + 4);
  fake_kernel.first_fail = 0;
  work_after(2 * MESH_BACKOFF_MAX_MS);
  check_content();
  expect(!is_held(file));
  expect(work_after(2 * MESH_BACKOFF_MAX_MS) == MESH_NOTHING);
}

TEST(what_could_not_be_moved_is_tried_again) {
  assert_passes(fail_and_try_again);
  assert_passes(fail_ever_later);
}

/* ----------------------------------------------------------------------------------------- in a child */

static void wait_for(pid_t child) {
  int status = 1;
  expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* It shares most with its parent, as long as it has most. */
static void free_in_child(void *unused) {
  (void)unused;
  start();
  const unsigned long file = the_file();
  pid_t child = fork();
  if (child == 0) {
    fill(); /* nothing to mesh */
    work_after(60000);
    expect(is_held(file));
    thin(KEEP_FEW);
    work_after(60000);
    check_content();
    expect(!is_held(file));
    _exit(0);
  }
  wait_for(child);
}

/* Most children do not live long, and what they do at all is to pay for nothing. */
static void free_in_young_child(void *unused) {
  (void)unused;
  start();
  const unsigned long file = the_file();
  pid_t child = fork();
  if (child == 0) {
    fill();
    thin(KEEP_FEW);
    count_calls();
    expect(work_after(3000) == MESH_LATER);
    expect(fake_kernel.calls[MEMFD_CALL] == 0 && fake_kernel.calls[UFFD_OPEN_CALL] == 0);
    expect(fake_kernel.calls[ALIAS_CALL] == 0 && is_held(file));
    work_after(3000);
    expect(!is_held(file));
    check_content();
    _exit(0);
  }
  wait_for(child);
}

TEST(a_child_renews_what_little_is_left) {
  assert_passes(free_in_child);
  assert_passes(free_in_young_child);
}

/* The child of one that ends at once. */
static void live_without_parent(int report) {
  const pid_t parent = getpid();
  const unsigned long file = the_file();
  const pid_t child = fork();
  if (child != 0) _exit(child < 0);
  alarm(20);
  fill(); /* nothing to mesh */
  while (getppid() == parent) usleep(1000);
  work_after(2000);
  expect(is_held(file));
  work_after(20000);
  check_content();
  expect(!is_held(file));
  if (write(report, "!", 1) != 1) _exit(1);
  _exit(0);
}

static void leave_orphan(void *unused) {
  (void)unused;
  int ends[2];
  char report;
  start();
  expect(pipe(ends) == 0);
  const pid_t middle = fork();
  if (middle == 0) {
    mesh_pass_all();
    live_without_parent(ends[1]);
  }
  close(ends[1]);
  expect(read(ends[0], &report, 1) == 1);
  wait_for(middle);
}

TEST(a_child_renews_all_once_its_parent_is_gone) { assert_passes(leave_orphan); }

/* test_mesh_renewal BARRIER */
int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_pin_after_a_fork_holds_on_to_no_file),
      cmocka_unit_test(what_is_pinned_stays_where_it_is),
      cmocka_unit_test(what_could_not_be_moved_is_tried_again),
      cmocka_unit_test(a_child_renews_what_little_is_left),
      cmocka_unit_test(a_child_renews_all_once_its_parent_is_gone),
  };
  snprintf(barrier, sizeof barrier, "%s", argc > 1 ? argv[1] : "mprotect");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
