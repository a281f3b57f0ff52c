/* fork while other threads are anywhere inside the allocator. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "atomic.h"
#include "child.h"
#include "content.h"
#include "fork.h"
#include "heap_api.h"
#include "os.h"
#include "page_run.h"
#include "rng.h"
#include "segv.h"
#include "unit.h"

enum { THREADS = 2, FORKS = 60, OBJECTS = 100 };

static _Atomic bool stop;

/* Random objects, each with its own bytes, until told to stop or for `rounds`. */
static void live(uint64_t seed, long rounds) {
  struct {
    void *address;
    size_t size;
  } object[OBJECTS] = {{NULL, 0}};
  Rng rng;
  rng_seed(&rng, seed);
  for (long round = 0; round < rounds && !load_relaxed(&stop); round++) {
    size_t i = rng_below(&rng, OBJECTS);
    if (object[i].address != NULL) check_always(content_holds(object[i].address, object[i].size, i));
    mesh_free(object[i].address);
    object[i].size = rng_below(&rng, 1u << (round % 16 == 0 ? 17 : 8));
    object[i].address = mesh_malloc(object[i].size);
    check_always(object[i].address != NULL);
    content_fill(object[i].address, object[i].size, i);
    if (round % 4 == 0) mesh_trim(); /* often inside the locks */
  }
  for (size_t i = 0; i < OBJECTS; i++) mesh_free(object[i].address);
}

static void *live_in_thread(void *seed) {
  live((uintptr_t)seed, 1L << 40);
  return NULL;
}

static void live_in_child(void *kept) {
  expect(content_holds(kept, 1000, 1));
  live(100, 200);
  mesh_trim();
  arena_assert_state();
}

TEST(both_sides_of_a_fork_go_on) {
  pthread_t thread[THREADS];
  void *kept = mesh_malloc(1000);
  content_fill(kept, 1000, 1);
  for (size_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, live_in_thread, (void *)(i + 1)), 0);
  for (int i = 0; i < FORKS; i++) {
    assert_child_passes(live_in_child, kept);
    live((uint64_t)i, 200);
  }
  store_relaxed(&stop, true);
  for (size_t i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  store_relaxed(&stop, false);
  mesh_free(kept);
  arena_assert_state();
}

static void fork_again(void *depth) {
  live((uintptr_t)depth, 100);
  if ((uintptr_t)depth > 0) assert_child_passes(fork_again, (void *)((uintptr_t)depth - 1));
}

TEST(children_fork_too) { assert_child_passes(fork_again, (void *)5); }

/* As by a signal handler: the inner one would part what the outer one is at. Alone or not. */
static void prepare_twice(void *unused) {
  (void)unused;
  mesh_free(mesh_malloc(1));
  for (int i = 0; i < 2; i++) {
    expect(fork_prepare());
    expect(!fork_prepare());
    fork_parent();
    expect(locks_held == 0);
    fork_not_alone();
  }
  live(1, 200);
}

TEST(a_fork_within_a_fork_is_not_prepared) { assert_child_passes(prepare_twice, NULL); }

/* ---- A block whose pages were moved, while the system takes them back ---- */

static uint32_t moved;

static uint32_t moved_before;
static Child looked;

static void look_in_child(void *unused) {
  (void)unused;
  expect(class_at(page_address(moved)) == CLASS_NONE);
  expect(!page_runs_busy());
  expect(load_relaxed(&arena.moved_blocks) == moved_before);
  arena_assert_state();
}

static void *fork_in_thread(void *unused) {
  (void)unused;
  looked = child_run(look_in_child, NULL);
  return NULL;
}

static void fork_meanwhile(void *address, size_t size) {
  (void)size;
  pthread_t thread;
  if (address != page_address(moved)) return;
  assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, NULL), 0);
  pthread_join(thread, NULL);
}

TEST(a_child_keeps_no_block_that_another_thread_was_freeing) {
  enum { PAGES = 600, MORE = 10 };
  PageContent content;
  mesh_free(mesh_malloc(1));
  looked.exit_code = -1;
  moved_before = load_relaxed(&arena.moved_blocks);
  const uint32_t from = arena_alloc(PAGES, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  moved = arena_alloc(PAGES + MORE, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  assert_true(arena_move(from, moved));
  store_relaxed(&arena.mapped_anew, fork_meanwhile);
  assert_true(arena_free_large(moved));
  store_relaxed(&arena.mapped_anew, NULL);
  assert_string_equal(looked.text, "");
  assert_int_equal(looked.exit_code, 0);
  arena_assert_state();
}

/* ---- The program's action for SIGSEGV ---- */

static OsSignalAction action_of(uint64_t i) { return (OsSignalAction){.handler = i, .flags = i, .mask = i}; }

static void *exchange_until_stopped(void *unused) {
  (void)unused;
  for (uint64_t i = 1; !load_relaxed(&stop); i++) {
    const OsSignalAction action = action_of(i);
    segv_exchange(&action, NULL);
  }
  return NULL;
}

static int exchange_in_child(void) {
  OsSignalAction action;
  segv_exchange(NULL, &action);
  return action.handler == action.flags && action.flags == action.mask ? 0 : 1;
}

/* Of a child that may wait for ever with all signals blocked. */
static bool child_exchanges(void) {
  enum { TRIES = 10000 };
  int status = -1;
  const pid_t child = fork();
  if (child == 0) _exit(exchange_in_child());
  for (int i = 0; i < TRIES && waitpid(child, &status, WNOHANG) == 0; i++) os_sleep_ms(1);
  if (status == -1) kill(child, SIGKILL);
  if (status == -1) waitpid(child, NULL, 0);
  return status == 0;
}

TEST(a_child_may_ask_for_the_action_that_another_thread_was_changing) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, exchange_until_stopped, NULL), 0);
  mesh_free(mesh_malloc(1));
  bool good = true;
  for (int i = 0; i < 300 && good; i++) good = child_exchanges();
  store_relaxed(&stop, true);
  pthread_join(thread, NULL);
  store_relaxed(&stop, false);
  assert_true(good);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_sides_of_a_fork_go_on),
      cmocka_unit_test(children_fork_too),
      cmocka_unit_test(a_fork_within_a_fork_is_not_prepared),
      cmocka_unit_test(a_child_keeps_no_block_that_another_thread_was_freeing),
      cmocka_unit_test(a_child_may_ask_for_the_action_that_another_thread_was_changing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
