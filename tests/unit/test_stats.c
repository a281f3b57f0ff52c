#include <string.h>

#include "arena.h"
#include "heap_api.h"
#include "init.h"
#include "rng.h"
#include "stats.h"
#include "unit.h"

static HeapStats read_stats(void) {
  HeapStats s;
  stats_read(&s);
  /* Whatever the state of the heap. */
  assert_int_equal(s.live_bytes + s.cached_bytes + s.free_bytes + s.waste_bytes, s.active_bytes);
  assert_int_equal(s.active_bytes, arena_used_bytes());
  assert_true(s.active_bytes + s.dirty_bytes <= s.mapped_bytes);
  assert_int_equal(s.span_allocs - s.span_frees, s.spans);
  assert_true(s.spans <= s.spans_peak);
  return s;
}

TEST(figures_add_up_through_a_random_life) {
  enum { OBJECTS = 500 };
  void *object[OBJECTS] = {NULL};
  size_t live = read_stats().live_bytes, held = 0, large = 0, large_count = 0;
  Rng rng;
  rng_seed(&rng, 1);
  for (int step = 0; step < 20000; step++) {
    size_t i = rng_below(&rng, OBJECTS);
    size_t usable = mesh_usable_size(object[i]);
    held -= usable;
    if (usable > SMALL_MAX) {
      large -= usable;
      large_count--;
    }
    mesh_free(object[i]);
    object[i] = mesh_malloc(rng_below(&rng, 1u << rng_below(&rng, 18)));
    usable = mesh_usable_size(object[i]);
    held += usable;
    if (usable > SMALL_MAX) {
      large += usable;
      large_count++;
    }
    if (step % 50 != 0) continue;
    HeapStats s = read_stats();
    assert_int_equal(s.live_bytes, live + held);
    assert_int_equal(s.large_bytes, large);
    assert_int_equal(s.large_count, large_count);
  }
  for (size_t i = 0; i < OBJECTS; i++) mesh_free(object[i]);
  assert_int_equal(read_stats().live_bytes, live);
}

TEST(freed_slots_are_cached_until_they_drain) {
  void *object[100];
  mesh_trim();
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(200);
  HeapStats before = read_stats();
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  HeapStats after = read_stats();
  const size_t slot = size_classes[size_class_of(200)].size;
  assert_int_equal(after.live_bytes, before.live_bytes - COUNT(object) * slot);
  assert_true(after.cached_bytes > before.cached_bytes);
  thread_heap_flush();
  assert_int_equal(read_stats().cached_bytes, 0);
}

TEST(an_empty_heap_is_all_given_back) {
  void *small = mesh_malloc(100), *large = mesh_malloc(1000000);
  mesh_free(small);
  mesh_free(large);
  assert_true(mesh_trim());
  HeapStats s = read_stats();
  assert_int_equal(s.active_bytes, 0);
  assert_int_equal(s.dirty_bytes, 0);
  assert_int_equal(s.spans, 0);
  assert_true(s.metadata_bytes > 0);
  assert_false(mesh_trim());
}

static size_t resident(void) {
  HeapStats s;
  stats_read(&s);
  return stats_resident(&s);
}

TEST(what_was_not_touched_is_not_resident) {
  enum { TOUCHED = 16 * MIB, SLACK = 64 * KIB };
  const size_t before = resident();
  char *large = mesh_malloc(4 * TOUCHED), *small = mesh_malloc(100);
  assert_true(resident() < before + SLACK);
  memset(large, 1, TOUCHED);
  assert_true(resident() >= before + TOUCHED && resident() < before + TOUCHED + SLACK);
  mesh_free(large);
  assert_true(resident() >= before + TOUCHED && resident() < before + TOUCHED + SLACK);
  mesh_trim();
  assert_true(resident() < before + SLACK);
  mesh_free(small);
}

static int init(void **unused) {
  (void)unused;
  return init_once() ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(figures_add_up_through_a_random_life),
      cmocka_unit_test(freed_slots_are_cached_until_they_drain),
      cmocka_unit_test(an_empty_heap_is_all_given_back),
      cmocka_unit_test(what_was_not_touched_is_not_resident),
  };
  return cmocka_run_group_tests(tests, init, NULL);
}
