/* Each system call fails in turn: once, and from then on. Nothing may be lost but the call's purpose. */
#include <errno.h>
#include <unistd.h>

#include "arena.h"
#include "child.h"
#include "fake_os.h"
#include "heap_api.h"
#include "meta.h"
#include "unit.h"
#include "workload.h"

enum {
  SEED = 1,
  CALLS = 150,
  NOTHING_FAILED = 99, /* a child's exit code: the script asks for a later call than there are */
};

static void run_case(void *script) {
  meta_alloc((size_t)1 << META_MAX_SHIFT); /* what there is without asking the system */
  fake_os = *(const FakeOs *)script;
  workload_grow(true);
  workload_run(SEED, CALLS, true);
  mesh_trim();
  workload_check();
  unsigned failed = fake_os.failed;

  fake_os.first_fail = 0;
  workload_run(SEED + 1, CALLS, false);
  workload_free_all();
  mesh_trim();
  arena_assert_state();
  if (failed == 0) _exit(NOTHING_FAILED);
}

/* Fails the n-th call, or all calls from the n-th on, for n = 1 and so on by `next`. */
typedef enum Duration { ONCE, TO_THE_END } Duration;

static unsigned by_one(unsigned n) { return n + 1; }
static unsigned by_doubling(unsigned n) { return 2 * n; }

static void fail_in_turn(OsCall call, Duration duration, unsigned (*next)(unsigned)) {
  for (unsigned n = 1;; n = next(n)) {
    FakeOs script = {
        .now_ms = 1000000, .failing = call, .first_fail = n, .last_fail = duration == ONCE ? n : UINT32_MAX};
    Child child = child_run(run_case, &script);
    if (child.exit_code == NOTHING_FAILED) {
      if (n == 1) fail_msg("no such call was made");
      return;
    }
    if (child.exit_code != 0)
      fail_msg("call %u: exit code %d, signal %d: %s", n, child.exit_code, child.signal, child.text);
  }
}

TEST(each_call_fails_once) { fail_in_turn(ANY_CALL, ONCE, by_one); }
TEST(all_calls_fail_from_one_on) { fail_in_turn(ANY_CALL, TO_THE_END, by_one); }
TEST(no_more_commits) { fail_in_turn(COMMIT_CALL, TO_THE_END, by_doubling); }
TEST(no_more_purges) { fail_in_turn(PURGE_CALL, TO_THE_END, by_doubling); }
TEST(no_more_moves) { fail_in_turn(MOVE_PAGES_CALL, TO_THE_END, by_doubling); }
TEST(no_more_fresh_maps) { fail_in_turn(MAP_FRESH_CALL, TO_THE_END, by_doubling); }
TEST(no_more_filled_holes) { fail_in_turn(FILL_HOLE_CALL, TO_THE_END, by_doubling); }
TEST(no_more_populating) { fail_in_turn(POPULATE_CALL, TO_THE_END, by_doubling); }
TEST(no_more_metadata) { fail_in_turn(MAP_CALL, TO_THE_END, by_doubling); }

/* The largest address space that can be had is not always the first that is asked for. */
static void reserve_less(void *unused) {
  (void)unused;
  fake_os = (FakeOs){.failing = RESERVE_CALL, .first_fail = 1, .last_fail = 20};
  expect(mesh_malloc(100) != NULL);
  expect(pages_to_bytes(arena.pages_reserved) < ARENA_RESERVE_MAX);
  workload_run(SEED, CALLS, false);
  arena_assert_state();
}

TEST(a_smaller_arena_will_do) { assert_child_passes(reserve_less, NULL); }

static void stay_below_the_limit(void *unused) {
  (void)unused;
  fake_os = (FakeOs){.address_space_left = 200 * MIB};
  workload_run(SEED, CALLS, false);
  expect(fake_os.mapped <= 160 * MIB);
}

TEST(a_limit_leaves_space_for_the_program) { assert_child_passes(stay_below_the_limit, NULL); }

static void fill_small_arena(void *unused) {
  (void)unused;
  static void *blocks[100000];
  size_t count = 0;
  fake_os = (FakeOs){.address_space_left = 30 * MIB};
  while (count < COUNT(blocks) && (blocks[count] = mesh_malloc(count % 7 == 0 ? 100000 : 1000)) != NULL)
    count++;
  expect(errno == ENOMEM);
  expect(count > 100 && count < COUNT(blocks));
  arena_assert_state();
  for (size_t i = 0; i < count; i += 2) mesh_free(blocks[i]);
  expect(mesh_malloc(1000) != NULL);
  for (size_t i = 1; i < count; i += 2) mesh_free(blocks[i]);
  mesh_trim(); /* caches hold slots in many places */
  expect(mesh_malloc(8 * MIB) != NULL);
  arena_assert_state();
}

TEST(a_full_arena_serves_again_once_it_is_freed) { assert_child_passes(fill_small_arena, NULL); }

/* A program that goes on asking must not use up its address space by that. */
static void never_start(void *unused) {
  (void)unused;
  fake_os = (FakeOs){.failing = COMMIT_CALL, .first_fail = 1, .last_fail = UINT32_MAX};
  for (int i = 0; i < 100; i++) {
    errno = 0;
    expect(mesh_malloc(100) == NULL && errno == ENOMEM);
    expect(mesh_malloc(1000000) == NULL && errno == ENOMEM);
    expect(mesh_calloc(10, 10000) == NULL && errno == ENOMEM);
    expect(mesh_memalign(4096, 100) == NULL && errno == ENOMEM);
  }
  expect(fake_os.mapped == 0);
  fake_os.first_fail = 0;
  workload_run(SEED, CALLS, false);
}

TEST(a_start_without_memory_is_tried_again_and_keeps_nothing) { assert_child_passes(never_start, NULL); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_call_fails_once),
      cmocka_unit_test(all_calls_fail_from_one_on),
      cmocka_unit_test(no_more_commits),
      cmocka_unit_test(no_more_purges),
      cmocka_unit_test(no_more_moves),
      cmocka_unit_test(no_more_fresh_maps),
      cmocka_unit_test(no_more_filled_holes),
      cmocka_unit_test(no_more_populating),
      cmocka_unit_test(no_more_metadata),
      cmocka_unit_test(a_smaller_arena_will_do),
      cmocka_unit_test(a_limit_leaves_space_for_the_program),
      cmocka_unit_test(a_full_arena_serves_again_once_it_is_freed),
      cmocka_unit_test(a_start_without_memory_is_tried_again_and_keeps_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
