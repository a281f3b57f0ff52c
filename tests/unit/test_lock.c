#include <pthread.h>

#include "child.h"
#include "lock.h"
#include "unit.h"

static Lock outer = LOCK_INIT(RANK_HEAPS), inner = LOCK_INIT(RANK_ARENA);

static long counter; /* (outer) */
enum { THREADS = 4, ROUNDS = 20000 };

static void *count_up(void *unused) {
  for (int i = 0; i < ROUNDS; i++) {
    lock_acquire(&outer);
    lock_acquire(&inner);
    counter = counter + 1;
    lock_release(&inner);
    lock_release(&outer);
  }
  return unused;
}

TEST(one_thread_at_a_time) {
  pthread_t thread[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, count_up, NULL), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  assert_int_equal(counter, (long)THREADS * ROUNDS);
  assert_int_equal(load_relaxed(&outer.word), 0);
}

TEST(a_waiter_sleeps_and_is_woken) {
  pthread_t thread;
  uint64_t waits = load_relaxed(&outer.waits);
  counter = 0;
  lock_acquire(&outer);
  pthread_create(&thread, NULL, count_up, NULL);
  while (load_relaxed(&outer.waits) == waits) sched_yield();
  assert_int_equal(counter, 0);
  lock_was_wanted = false;
  lock_release(&outer);
  assert_true(lock_was_wanted);
  pthread_join(thread, NULL);
  assert_int_equal(counter, ROUNDS);
  lock_was_wanted = false;
  lock_acquire(&outer);
  lock_release(&outer);
  assert_false(lock_was_wanted);
}

static void *try_outer(void *result) {
  *(bool *)result = lock_try(&outer);
  if (*(bool *)result) lock_release(&outer);
  return NULL;
}

static bool another_thread_gets_it(void) {
  pthread_t thread;
  bool got_it = false;
  pthread_create(&thread, NULL, try_outer, &got_it);
  pthread_join(thread, NULL);
  return got_it;
}

TEST(trying_does_not_wait) {
  assert_true(lock_try(&outer));
  assert_false(another_thread_gets_it());
  lock_release(&outer);
  assert_true(another_thread_gets_it());
}

TEST(resetting_frees_a_lock_that_others_waited_for) {
  lock_acquire(&outer);
  store_relaxed(&outer.word, 2);
  lock_reset(&outer);
  assert_true(another_thread_gets_it());
}

static void take_in_falling_rank(void *unused) {
  (void)unused;
  lock_acquire(&inner);
  lock_acquire(&outer);
}

static void take_two_of_a_rank(void *second) {
  lock_acquire(&outer);
  lock_acquire(second);
}

static void release_what_is_not_held(void *lock) { lock_release(lock); }

TEST(debug_builds_check_the_order) {
  static Lock another = LOCK_INIT(RANK_HEAPS);
  if (!MESH_DEBUG) skip();
  assert_child_aborts(take_in_falling_rank, NULL, "locks taken out of rank order", &outer);
  assert_child_aborts(take_two_of_a_rank, &another, "locks taken out of rank order", &another);
}

TEST(debug_builds_check_the_holder) {
  if (!MESH_DEBUG) skip();
  assert_child_aborts(release_what_is_not_held, &outer, "a lock released that is not held", &outer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_thread_at_a_time),
      cmocka_unit_test(a_waiter_sleeps_and_is_woken),
      cmocka_unit_test(trying_does_not_wait),
      cmocka_unit_test(resetting_frees_a_lock_that_others_waited_for),
      cmocka_unit_test(debug_builds_check_the_order),
      cmocka_unit_test(debug_builds_check_the_holder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
