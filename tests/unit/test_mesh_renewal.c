/* What a fork leaves on frames from before it: the file that they are of goes, sooner or later, whatever was in the way. */
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

enum { OBJECTS = 24000, SIZE = 256, KEEP_ONE_IN = 6, NO_BARRIER = 77 };

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
  fill();
  thin(KEEP_ONE_IN);
  if (!barrier_choose()) _exit(NO_BARRIER);
  mesh_pass_all();
  expect(mesh_pages_released > 0);
}

/* As for a child; this process is the parent. */
static void part(void) {
  expect(fork_prepare());
  fork_parent();
}

static uint32_t span_of(const void *p) { return page_of(p) - miniheap_of(page_of(p))->offset; }

/* Files of frames that pages of the arena are mapped onto. */
static size_t files(void) {
  enum { MOST = 16 };
  const uintptr_t end = (uintptr_t)page_address(arena.committed);
  unsigned long inode[MOST + 1];
  size_t n = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  expect(maps != NULL);
  while (n < MOST && fgets(line, sizeof line, maps) != NULL) {
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
  fake_kernel = (FakeKernel){.first_fail = UINT32_MAX};
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
  fake_kernel = (FakeKernel){.failing = REPLACE_CALL, .first_fail = 1, .last_fail = UINT32_MAX};
  expect(pin(p, SIZE));
  fake_kernel = (FakeKernel){.first_fail = UINT32_MAX};
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

/* test_mesh_renewal BARRIER */
int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_pin_after_a_fork_holds_on_to_no_file),
      cmocka_unit_test(what_is_pinned_stays_where_it_is),
  };
  snprintf(barrier, sizeof barrier, "%s", argc > 1 ? argv[1] : "mprotect");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
