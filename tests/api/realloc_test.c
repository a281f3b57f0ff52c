/* realloc and reallocarray: every change of size keeps the bytes that both sizes have. */
#include <sys/resource.h>

#include "test.h"

static void realloc_of_null_is_malloc(void **state) {
  (void)state;
  void *object = realloc(NULL, 100);
  assert_non_null(object);
  assert_true(malloc_usable_size(object) >= 100);
  free(object);
}

/* glibc's choice among those that the standard leaves: the object is freed and NULL comes back. */
static void realloc_to_zero_frees(void **state) {
  (void)state;
  size_t before = process_pss();
  for (int i = 0; i < 20000; i++) {
    void *object = malloc(4000);
    assert_non_null(object);
    memset(object, 1, 4000);
    assert_null(realloc(object, opaque_size(0)));
    object = malloc(4000);
    memset(object, 1, 4000);
    assert_null(reallocarray(object, opaque_size(0), 10));
  }
  assert_true(process_pss() < before + 40 * MIB);
}

static void resize_and_check(size_t from, size_t to) {
  void *object = malloc(from);
  assert_non_null(object);
  pattern_fill(object, from, from);
  object = realloc(object, to);
  assert_non_null(object);
  assert_true(is_aligned(object, to >= 16 ? 16 : to >= 8 ? 8 : 1));
  assert_true(malloc_usable_size(object) >= to);
  size_t kept = from < to ? from : to;
  if (pattern_mismatch(object, kept, from) != kept)
    fail_msg("realloc from %zu to %zu bytes loses bytes", from, to);
  pattern_fill(object, to, to);
  free(object);
}

static void any_size_becomes_any_other(void **state) {
  (void)state;
  static const size_t sizes[] = {1,        7,
                                 8,        15,
                                 16,       17,
                                 100,      128,
                                 1000,     1024,
                                 1025,     2048,
                                 4000,     4096,
                                 4097,     8192,
                                 10000,    16384,
                                 16385,    32768,
                                 65536,    65537,
                                 1u << 17, 200000,
                                 1u << 20, (1u << 20) + 1,
                                 3u << 20};
  enum { COUNT = sizeof sizes / sizeof *sizes };
  for (int i = 0; i < COUNT; i++)
    for (int j = 0; j < COUNT; j++) resize_and_check(sizes[i], sizes[j]);
}

static void random_steps_keep_bytes(void **state) {
  (void)state;
  struct dice dice = {2};
  size_t size = 1;
  void *object = malloc(size);
  pattern_fill(object, size, 0);
  for (uint64_t step = 1; step <= 3000; step++) {
    size_t next = dice_size(&dice, 19);
    object = realloc(object, next);
    assert_non_null(object);
    size_t kept = size < next ? size : next;
    assert_int_equal(pattern_mismatch(object, kept, step - 1), kept);
    pattern_fill(object, next, step);
    size = next;
  }
  free(object);
}

/* A vector that grows by a constant, with another growing beside it and small objects between. */
static void growth_in_small_steps_keeps_bytes(void **state) {
  (void)state;
  char *vectors[2] = {NULL, NULL};
  for (size_t size = 1; size <= 300000; size += 1 + size / 200) {
    for (int i = 0; i < 2; i++) {
      vectors[i] = realloc(vectors[i], size);
      assert_non_null(vectors[i]);
      pattern_fill(vectors[i], size, i);
    }
    free(malloc(size / 3));
    for (int i = 0; i < 2; i++) assert_int_equal(pattern_mismatch(vectors[i], size, i), size);
  }
  free(vectors[0]);
  free(vectors[1]);
}

/* One word in each page is enough to see a page that was lost or swapped, and keeps this quick. */
static void stamp(char *block, size_t from, size_t to) {
  for (size_t offset = from; offset < to; offset += 4096) memcpy(block + offset, &offset, sizeof offset);
}

static bool stamped(const char *block, size_t size) {
  for (size_t offset = 0; offset < size; offset += 4096)
    if (memcmp(block + offset, &offset, sizeof offset) != 0) return false;
  return true;
}

static void large_blocks_grow_and_shrink(void **state) {
  (void)state;
  size_t size = 64 * KIB;
  char *block = malloc(size);
  assert_non_null(block);
  stamp(block, 0, size);
  while (size < 256 * MIB) {
    size_t next = size + size / 2 / 4096 * 4096;
    block = realloc(block, next);
    assert_non_null(block);
    assert_true(stamped(block, size));
    stamp(block, size, next);
    size = next;
  }
  while (size > 64 * KIB) {
    size = size / 3 / 4096 * 4096;
    block = realloc(block, size);
    assert_non_null(block);
    assert_true(stamped(block, size));
  }
  free(block);
}

static size_t peak_rss(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * KIB;
}

/* 256 MiB become 320: a copy would need both at once, moved pages need what is new. */
static void large_growth_moves_pages_instead_of_copying(void **state) {
  (void)state;
  if (peak_rss() > 400 * MIB) {
    print_message("skipped: the peak is too high already\n");
    skip();
  }
  char *block = malloc(256 * MIB);
  void *obstacle = malloc(MIB);
  assert_non_null(block);
  assert_non_null(obstacle);
  stamp(block, 0, 256 * MIB);
  block = realloc(block, 320 * MIB);
  assert_non_null(block);
  assert_true(stamped(block, 256 * MIB));
  assert_true(peak_rss() < 450 * MIB);
  free(block);
  free(obstacle);
}

static void shrinking_gives_pages_back(void **state) {
  (void)state;
  require_pss();
  char *block = malloc(128 * MIB);
  assert_non_null(block);
  stamp(block, 0, 128 * MIB);
  size_t before = process_pss();
  block = realloc(block, MIB);
  assert_non_null(block);
  malloc_trim(0);
  assert_true(process_pss() < before - 100 * MIB);
  assert_true(stamped(block, MIB));
  free(block);
}

static void reallocarray_multiplies(void **state) {
  (void)state;
  int *numbers = reallocarray(NULL, 1000, sizeof *numbers);
  assert_non_null(numbers);
  assert_true(malloc_usable_size(numbers) >= 1000 * sizeof *numbers);
  pattern_fill(numbers, 1000 * sizeof *numbers, 3);
  numbers = reallocarray(numbers, 100000, sizeof *numbers);
  assert_non_null(numbers);
  assert_int_equal(pattern_mismatch(numbers, 1000 * sizeof *numbers, 3), 1000 * sizeof *numbers);
  free(numbers);
}

static void failure_keeps_the_old_object(void **state) {
  (void)state;
  static const size_t sizes[] = {100, 5000, 300000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t size = sizes[i];
    void *object = malloc(size);
    assert_non_null(object);
    pattern_fill(object, size, 4);
    errno = 0;
    assert_null(realloc(opaque(object), opaque_size(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(realloc(opaque(object), opaque_size((size_t)PTRDIFF_MAX + 1)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(realloc(opaque(object), opaque_size((size_t)1 << 60)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(reallocarray(opaque(object), opaque_size(SIZE_MAX / 2 + 1), 2));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(pattern_mismatch(object, size, 4), size);
    free(object);
  }
}

/* First, while the peak is still low: the test that judges by it. */
int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(large_growth_moves_pages_instead_of_copying),
      cmocka_unit_test(realloc_of_null_is_malloc),
      cmocka_unit_test(realloc_to_zero_frees),
      cmocka_unit_test(any_size_becomes_any_other),
      cmocka_unit_test(random_steps_keep_bytes),
      cmocka_unit_test(growth_in_small_steps_keeps_bytes),
      cmocka_unit_test(large_blocks_grow_and_shrink),
      cmocka_unit_test(shrinking_gives_pages_back),
      cmocka_unit_test(reallocarray_multiplies),
      cmocka_unit_test(failure_keeps_the_old_object),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
