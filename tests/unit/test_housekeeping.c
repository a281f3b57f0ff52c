/* What the passing of time does, on a clock that the test sets. */
#include "arena.h"
#include "fake_os.h"
#include "global_heap.h"
#include "heap_api.h"
#include "meta.h"
#include "options.h"
#include "stats.h"
#include "unit.h"

enum { LONG_MS = 10000 };

static HeapStats read_stats(void) {
  HeapStats s;
  stats_read(&s);
  return s;
}

static void pass(uint32_t ms) {
  fake_os.now_ms += ms;
  while (global_heap_tick(fake_os.now_ms)) {
  }
}

/* Slow paths of one class only: what a program does that has stopped using the others. */
static void use_one_class(void) {
  for (int i = 0; i < 100; i++) {
    void *object[16];
    for (size_t j = 0; j < COUNT(object); j++) object[j] = mesh_malloc(SMALL_MAX);
    for (size_t j = 0; j < COUNT(object); j++) mesh_free(object[j]);
  }
}

TEST(dirty_pages_go_back_after_the_delay) {
  void *large = mesh_malloc(1000000), *end = mesh_malloc(100000);
  pass(LONG_MS);
  mesh_free(large);
  assert_true(read_stats().dirty_bytes >= 1000000);
  pass(options.purge_delay_ms / 2);
  assert_true(read_stats().dirty_bytes >= 1000000);
  pass(options.purge_delay_ms);
  assert_int_equal(read_stats().dirty_bytes, 0);
  mesh_free(end);
}

/* A call of the program's pays for a piece of it at most. */
TEST(what_is_much_goes_back_in_pieces) {
  enum { BYTES = 32 << 20 };
  void *large = mesh_malloc(BYTES), *end = mesh_malloc(100000);
  mesh_free(large);
  fake_os.now_ms += LONG_MS;
  fake_os.step_ns = 1000000; /* between two looks at the clock */
  unsigned pieces = 0;
  size_t dirty = read_stats().dirty_bytes, least = dirty;
  assert_true(dirty >= BYTES);
  for (bool more = true; more; pieces++) {
    more = global_heap_tick(fake_os.now_ms);
    size_t left = read_stats().dirty_bytes;
    assert_true(dirty - left <= PURGE_PIECE);
    least = left < least ? left : least;
    dirty = left;
  }
  assert_int_equal(least, 0);
  assert_true(pieces > BYTES / PURGE_PIECE);
  mesh_free(end);
}

/* As the magazines of threads that ended. */
TEST(metadata_goes_back_in_pieces) {
  enum { BLOCKS = 2000, PIECE_MAX = 50 };
  static void *block[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) block[i] = meta_alloc(4096);
  for (size_t i = 0; i < BLOCKS; i++) meta_free(block[i], 4096);
  pass(2 * LONG_MS); /* later than the last tick of the test before */
  fake_os.now_ms += LONG_MS;
  fake_os.step_ns = 1000000;
  const unsigned before = fake_os.calls[PURGE_CALL];
  for (bool more = true; more;) {
    const unsigned calls = fake_os.calls[PURGE_CALL];
    more = global_heap_tick(fake_os.now_ms);
    assert_true(fake_os.calls[PURGE_CALL] - calls <= PIECE_MAX);
  }
  assert_true(fake_os.calls[PURGE_CALL] - before > BLOCKS - PIECE_MAX);
}

TEST(too_many_dirty_pages_go_back_at_once) {
  enum { BLOCKS = 100 };
  void *block[BLOCKS];
  size_t bytes = 2 * PURGE_KEEP_MIN / BLOCKS;
  for (size_t i = 0; i < BLOCKS; i++) block[i] = mesh_malloc(bytes);
  for (size_t i = 0; i < BLOCKS; i++) {
    mesh_free(block[i]);
    assert_true(read_stats().dirty_bytes <= arena_dirty_limit());
  }
  pass(LONG_MS);
  assert_int_equal(read_stats().dirty_bytes, 0);
}

/* Those that another free left are no business of the next, but ticks do not wait with them. */
TEST(a_free_purges_little_more_than_it_adds) {
  enum { DIRTY = 256 << 20, BLOCK = 40960 };
  void *large = mesh_malloc(DIRTY), *block = mesh_malloc(BLOCK), *end = mesh_malloc(100000);
  pass(2 * LONG_MS); /* later than the last tick of the test before */
  assert_true(arena_free_large(page_of(large)));
  fake_os.now_ms++;
  fake_os.step_ns = 1000000;
  size_t dirty = read_stats().dirty_bytes;
  assert_true(dirty >= DIRTY);
  mesh_free(block); /* purges something, and begins a tick that purges a piece */
  assert_in_range(dirty - read_stats().dirty_bytes, 1, 2 * BLOCK + 2 * PURGE_PIECE);
  assert_true(read_stats().dirty_bytes > arena_dirty_limit());
  while (global_heap_tick(fake_os.now_ms)) {
  }
  assert_true(read_stats().dirty_bytes <= arena_dirty_limit());
  mesh_free(end);
}

TEST(magazines_that_nobody_takes_are_drained) {
  const unsigned c = size_class_of(64);
  void *object[4000];
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(64);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  assert_true(depot_cached(c) > 0);
  pass(LONG_MS);
  pass(LONG_MS);
  assert_int_equal(depot_cached(c), 0);
}

TEST(a_thread_gives_up_what_it_no_longer_uses) {
  const unsigned c = size_class_of(200);
  void *object[200];
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(200);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  assert_true(thread_heaps_cached(c) > 0);
  for (int i = 0; i < 3; i++) {
    pass(LONG_MS);
    use_one_class();
  }
  assert_int_equal(thread_heaps_cached(c), 0);
}

TEST(an_idle_heap_shrinks_to_nothing) {
  void *object[500];
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(i * 40);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  for (int i = 0; i < 5; i++) {
    pass(LONG_MS);
    use_one_class();
  }
  for (int i = 0; i < 5; i++) pass(LONG_MS);
  /* All but the class still in use. */
  HeapStats s = read_stats();
  assert_true(s.active_bytes <= 8 * SMALL_MAX);
  assert_int_equal(s.dirty_bytes, 0);
  assert_int_equal(s.live_bytes, 0);
}

/* Threads read the clock before they take the arena's lock: a purge may be a moment behind a free. */
TEST(a_free_that_is_ahead_of_the_purger_is_not_old) {
  void *large = mesh_malloc(1000000), *end = mesh_malloc(100000);
  fake_os.now_ms += LONG_MS;
  mesh_free(large);
  assert_int_equal(arena_purge(fake_os.now_ms - 4, options.purge_delay_ms, SIZE_MAX), 0);
  mesh_free(end);
}

TEST(the_clock_may_wrap) {
  fake_os.now_ms = UINT32_MAX - options.purge_delay_ms / 4;
  void *large = mesh_malloc(1000000), *end = mesh_malloc(100000);
  mesh_trim();
  mesh_free(large);
  fake_os.now_ms = options.purge_delay_ms / 4;
  assert_int_equal(arena_purge(fake_os.now_ms, options.purge_delay_ms, SIZE_MAX), 0);
  fake_os.now_ms = options.purge_delay_ms;
  assert_true(arena_purge(fake_os.now_ms, options.purge_delay_ms, SIZE_MAX) >= 1000000);
  mesh_free(end);
}

static int start_clock(void **unused) {
  (void)unused;
  fake_os.now_ms = 1000000;
  fake_os.step_ns = 0;
  mesh_trim(); /* every test begins with an empty heap */
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(dirty_pages_go_back_after_the_delay, start_clock),
      cmocka_unit_test_setup(what_is_much_goes_back_in_pieces, start_clock),
      cmocka_unit_test_setup(metadata_goes_back_in_pieces, start_clock),
      cmocka_unit_test_setup(too_many_dirty_pages_go_back_at_once, start_clock),
      cmocka_unit_test_setup(a_free_purges_little_more_than_it_adds, start_clock),
      cmocka_unit_test_setup(magazines_that_nobody_takes_are_drained, start_clock),
      cmocka_unit_test_setup(a_thread_gives_up_what_it_no_longer_uses, start_clock),
      cmocka_unit_test_setup(an_idle_heap_shrinks_to_nothing, start_clock),
      cmocka_unit_test_setup(a_free_that_is_ahead_of_the_purger_is_not_old, start_clock),
      cmocka_unit_test_setup(the_clock_may_wrap, start_clock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
