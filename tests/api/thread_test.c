/* Threads that come and go, hand objects over, and allocate while they die. */
#include <limits.h>
#include <pthread.h>

#include "test.h"

static bool holds(const void *object, size_t size, uint64_t key) {
  return pattern_mismatch(object, size, key) == size;
}

static bool allocate_and_check(uint64_t seed, int count) {
  void *objects[64] = {NULL};
  size_t sizes[64] = {0};
  struct dice dice = {seed};
  bool good = true;
  for (int i = 0; i < count; i++) {
    int slot = i % 64;
    good = good && holds(objects[slot], sizes[slot], seed + slot);
    free(objects[slot]);
    sizes[slot] = dice_size(&dice, 14);
    objects[slot] = malloc(sizes[slot]);
    good = good && objects[slot] != NULL;
    pattern_fill(objects[slot], sizes[slot], seed + slot);
  }
  for (int slot = 0; slot < 64; slot++) {
    good = good && holds(objects[slot], sizes[slot], seed + slot);
    free(objects[slot]);
  }
  return good;
}

static void *good_or_null(bool good) {
  static char witness;
  return good ? &witness : NULL;
}

static void *busy_thread(void *seed) { return good_or_null(allocate_and_check((uintptr_t)seed, 100000)); }

static void threads_allocate_side_by_side(void **state) {
  (void)state;
  pthread_t threads[8];
  for (uintptr_t i = 0; i < 8; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, busy_thread, (void *)i), 0);
  for (int i = 0; i < 8; i++) {
    void *good;
    pthread_join(threads[i], &good);
    assert_non_null(good);
  }
}

enum { ESTATE = 5000 };

static void *leave_an_estate(void *argument) {
  void **objects = argument;
  for (int i = 0; i < ESTATE; i++) {
    objects[i] = malloc(1 + i % 500);
    if (objects[i] == NULL) return NULL;
    pattern_fill(objects[i], 1 + i % 500, i);
  }
  return objects;
}

static void objects_outlive_their_thread(void **state) {
  (void)state;
  static void *objects[ESTATE];
  for (int round = 0; round < 20; round++) {
    pthread_t thread;
    void *good;
    assert_int_equal(pthread_create(&thread, NULL, leave_an_estate, objects), 0);
    pthread_join(thread, &good);
    assert_non_null(good);
    for (int i = 0; i < ESTATE; i++) {
      assert_true(holds(objects[i], 1 + i % 500, i));
      free(objects[i]);
    }
  }
}

/* Destructors of these keys run before and after the allocator's own, and again in every later round. */
enum { KEYS = 3, LAST_OBJECTS = 10 };
static pthread_key_t keys[KEYS];

struct last_will {
  int key;
  int rounds_left;
  void *objects[LAST_OBJECTS];
};

static struct last_will *write_last_will(int key, int rounds_left) {
  struct last_will *will = malloc(sizeof *will);
  if (will == NULL) abort();
  *will = (struct last_will){.key = key, .rounds_left = rounds_left};
  for (int i = 0; i < LAST_OBJECTS; i++) {
    will->objects[i] = malloc(1 + i * 700);
    pattern_fill(will->objects[i], 1 + i * 700, i);
  }
  return will;
}

static void execute_last_will(void *value) {
  struct last_will *will = value;
  for (int i = 0; i < LAST_OBJECTS; i++) {
    if (!holds(will->objects[i], 1 + i * 700, i)) abort();
    free(will->objects[i]);
  }
  if (will->rounds_left > 0)
    pthread_setspecific(keys[will->key], write_last_will(will->key, will->rounds_left - 1));
  free(will);
}

static void *short_thread(void *argument) {
  for (int key = 0; key < KEYS; key++)
    pthread_setspecific(keys[key], write_last_will(key, PTHREAD_DESTRUCTOR_ITERATIONS - 1));
  return argument ? good_or_null(allocate_and_check((uintptr_t)argument, 100)) : NULL;
}

static void run_short_threads(int count) {
  for (int i = 0; i < count; i += 4) {
    pthread_t threads[4];
    for (int j = 0; j < 4; j++)
      assert_int_equal(pthread_create(&threads[j], NULL, short_thread, (void *)(uintptr_t)(i + j)), 0);
    for (int j = 0; j < 4; j++) {
      void *good;
      pthread_join(threads[j], &good);
      assert_true(good != NULL || i + j == 0);
    }
  }
}

static void short_threads_leave_nothing(void **state) {
  (void)state;
  require_pss();
  for (int key = 0; key < KEYS; key++) assert_int_equal(pthread_key_create(&keys[key], execute_last_will), 0);
  run_short_threads(500);
  size_t before = process_pss();
  run_short_threads(5000);
  size_t after = process_pss();
  size_t growth = after > before ? after - before : 0;
  print_message("5000 short threads leave %zu KiB\n", growth / KIB);
  assert_true(growth < 4 * MIB);
  for (int key = 0; key < KEYS; key++) pthread_key_delete(keys[key]);
}

/* A thread that does nothing but free, and one that only allocates at its very end. */
static void *free_all(void *argument) {
  void **objects = argument;
  for (int i = 0; i < ESTATE; i++) free(objects[i]);
  return NULL;
}

static void *set_key_only(void *key) {
  pthread_setspecific(*(pthread_key_t *)key, key);
  return NULL;
}

static void allocate_last(void *key) {
  (void)key;
  if (!allocate_and_check(7, 200)) abort();
}

static void memory_moves_one_way_between_threads(void **state) {
  (void)state;
  require_pss();
  static void *objects[ESTATE];
  size_t before = process_pss();
  for (int round = 0; round < 200; round++) {
    pthread_t thread;
    assert_non_null(leave_an_estate(objects));
    assert_int_equal(pthread_create(&thread, NULL, free_all, objects), 0);
    pthread_join(thread, NULL);
  }
  assert_true(process_pss() < before + 30 * MIB);
}

static void first_use_may_be_in_a_destructor(void **state) {
  (void)state;
  pthread_key_t key;
  assert_int_equal(pthread_key_create(&key, allocate_last), 0);
  for (int i = 0; i < 100; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, set_key_only, &key), 0);
    pthread_join(thread, NULL);
  }
  pthread_key_delete(key);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_allocate_side_by_side),
      cmocka_unit_test(objects_outlive_their_thread),
      cmocka_unit_test(short_threads_leave_nothing),
      cmocka_unit_test(memory_moves_one_way_between_threads),
      cmocka_unit_test(first_use_may_be_in_a_destructor),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
