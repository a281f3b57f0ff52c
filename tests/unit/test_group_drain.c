/* The end of mesh groups, when many spans lose their last slots at once: a piece at a time, and all of it at last. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "child.h"
#include "fake_kernel.h"
#include "global_heap.h"
#include "group_drain.h"
#include "heap_api.h"
#include "idle.h"
#include "mesh_pass.h"
#include "options.h"
#include "os.h"
#include "unit.h"

/* As where the shared library wraps the calls: this program makes none that store into the heap. */
const bool hazard_calls_wrapped = true;

enum {
  OBJECTS = 24000,
  SIZE = 256,
  KEEP_ONE_IN = 12,
  NO_BARRIER = 77,
  RELEASES = 16,      /* in one drain */
  CALLS_A_RELEASE = 6 /* of the system, at most */
};

static char *object[OBJECTS];
static void *kept[OBJECTS]; /* what is live, in the order of addresses */
static size_t count;
static unsigned c; /* class of the objects */
static char barrier[32];

static int by_address(const void *a, const void *b) {
  char *const p = *(char *const *)a, *const q = *(char *const *)b;
  return (p > q) - (p < q);
}

/* Those that are to live. */
static Rng rng;
static bool one_in_some(size_t i) {
  (void)i;
  return rng_below(&rng, KEEP_ONE_IN) == 0;
}

/* Two of each page of the first half, and one in another place of each page of the second half, which fits there. */
static bool some_in_order(size_t i) {
  const size_t slot = ((uintptr_t)object[i] & (arena.page_size - 1)) / SIZE;
  return i < OBJECTS / 2 ? slot == 0 || slot == 3 : slot == 1;
}

/* Hardly two to a span, in groups of a frame's slots: each is the last of a member, or almost. Passes end there. */
static void start(bool (*lives)(size_t i)) {
  setenv("MESH_BARRIER", barrier, 1);
  setenv("MESH_SEED", "1", 1);
  rng_seed(&rng, 1);
  for (size_t i = 0; i < OBJECTS; i++) object[i] = mesh_malloc(SIZE);
  qsort(object, OBJECTS, sizeof *object, by_address);
  c = class_at(object[0]);
  for (size_t i = 0; i < OBJECTS; i++) {
    if (lives(i))
      kept[count++] = object[i];
    else
      mesh_free(object[i]);
  }
  mesh_trim();
  if (!barrier_choose()) _exit(NO_BARRIER);
  mesh_pass_all();
  expect(mesh_pages_released > OBJECTS / 100);
  options.period_ms = 0;
  fake_kernel.first_fail = UINT32_MAX; /* to count */
}

static void drain(size_t from, size_t n) {
  FakeKernel *const k = &fake_kernel;
  const unsigned fresh = k->calls[MAP_FRESH_CALL], any = k->calls[ANY_CALL];
  global_heap_drain(c, kept + from, n);
  expect(k->calls[MAP_FRESH_CALL] - fresh <= RELEASES);
  expect(k->calls[ANY_CALL] - any <= RELEASES * CALLS_A_RELEASE);
}

static void drain_all(void) {
  for (size_t i = 0; i < count; i += MAGAZINE_MAX) drain(i, min_size(MAGAZINE_MAX, count - i));
}

/* The middle of what is one mapping first, so that its spans cannot go, and then its ends, which they all follow. */
static void drain_inside_out(void) {
  for (size_t i = count / 8; i < count; i += MAGAZINE_MAX) drain(i, min_size(MAGAZINE_MAX, count - i));
  for (size_t i = 0; i < count / 8; i++) drain(i, 1);
}

static void check_end(void) {
  expect(mesh_pages_released == 0 && class_heaps[c].members == 0 && class_heaps[c].spans == 0);
  expect(load_relaxed(&classes_unreleased) == 0);
  arena_assert_state();
}

static void assert_passes(ChildBody *body) {
  Child child = child_run(body, NULL);
  if (child.exit_code == NO_BARRIER) skip();
  if (child.exit_code != 0)
    fail_msg("%s: exit code %d, signal %d: %s", barrier, child.exit_code, child.signal, child.text);
}

/* As a program that sleeps as long as it may, and does nothing else. */
static void drain_and_sleep(void *unused) {
  enum { PIECES_MAX = OBJECTS };
  (void)unused;
  start(one_in_some);
  while (idle_work(true) == 0) continue; /* a tick has just ended, ... */
  drain_all();
  arena_purge((uint32_t)os_now_ms(), 0, 0); /* ... and there is nothing else to wait for */
  expect(mesh_pages_released > 0);
  for (int i = 0; i < PIECES_MAX && load_relaxed(&classes_unreleased) != 0; i++) {
    const uint32_t wait_ms = idle_work(true);
    expect(wait_ms <= 100 || load_relaxed(&classes_unreleased) == 0);
    fake_kernel.ahead_ms += 1000;
  }
  check_end();
}

static void drain_and_trim(void *unused) {
  (void)unused;
  start(one_in_some);
  drain_inside_out();
  expect(mesh_pages_released > 0);
  mesh_trim();
  check_end();
}

/* The system has no mapping for it: nobody tries for ever. */
static void drain_in_need(void *unused) {
  (void)unused;
  start(one_in_some);
  drain_all();
  fake_kernel.failing = MAP_FRESH_CALL;
  fake_kernel.first_fail = 1;
  fake_kernel.last_fail = UINT32_MAX;
  mesh_trim();
  expect(mesh_pages_released > 0 && load_relaxed(&classes_unreleased) == 0);
  fake_kernel.first_fail = 0;
  options.period_ms = 100;
  mesh_pass_all();
  mesh_trim();
  check_end();
}

/* What is one mapping is released from its end, as there is a live slot towards its beginning. */
static void release_backwards(void *unused) {
  enum { BEFORE = 100 };
  (void)unused;
  start(some_in_order);
  const size_t half = count / 3 * 2, others = count - half, members = class_heaps[c].members;
  if (members < others - others / 8) _exit(0); /* not as meant: other pages */
  drain(half, BEFORE);
  for (size_t i = half + BEFORE + 1; i < count; i += MAGAZINE_MAX) drain(i, min_size(MAGAZINE_MAX, count - i));
  size_t pieces = 0;
  for (bool more = true; more; pieces++) {
    lock_acquire(&class_heaps[c].lock);
    more = group_release_some(&class_heaps[c]);
    lock_release(&class_heaps[c].lock);
  }
  expect(class_heaps[c].members < members / 8);
  expect(pieces <= members / RELEASES + 16);
  drain(half + BEFORE, 1);
  count = half;
  drain_all();
  mesh_trim();
  check_end();
}

TEST(what_it_left_takes_no_longer_than_it_must) { assert_passes(release_backwards); }

TEST(a_drain_releases_no_more_than_some_spans) { assert_passes(drain_and_trim); }
TEST(what_it_left_is_released_while_the_program_sleeps) { assert_passes(drain_and_sleep); }
TEST(what_cannot_be_released_is_left) { assert_passes(drain_in_need); }

/* test_group_drain BARRIER */
int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_drain_releases_no_more_than_some_spans),
      cmocka_unit_test(what_it_left_is_released_while_the_program_sleeps),
      cmocka_unit_test(what_it_left_takes_no_longer_than_it_must),
      cmocka_unit_test(what_cannot_be_released_is_left),
  };
  snprintf(barrier, sizeof barrier, "%s", argc > 1 ? argv[1] : "mprotect");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
