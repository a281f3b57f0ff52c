/* posix_memalign, aligned_alloc, memalign, valloc and pvalloc. */
#include "test.h"

static void check_and_free(void *object, size_t alignment, size_t size) {
  assert_non_null(object);
  if (!is_aligned(object, alignment)) fail_msg("%p is not aligned to %zu", object, alignment);
  size_t usable = malloc_usable_size(object);
  assert_true(usable >= size);
  pattern_fill(object, size, alignment);
  assert_int_equal(pattern_mismatch(object, size, alignment), size);
  free(object);
}

static void every_alignment_with_many_sizes(void **state) {
  (void)state;
  static const size_t sizes[] = {0,    1,    8,    17,    64,    100,    1000,
                                 1024, 4096, 5000, 16384, 20000, 100000, 3 * 1024 * 1024};
  for (size_t alignment = sizeof(void *); alignment <= 32 * MIB; alignment *= 2) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      void *object = NULL;
      assert_int_equal(posix_memalign(&object, alignment, sizes[i]), 0);
      check_and_free(object, alignment, sizes[i]);
      check_and_free(memalign(alignment, sizes[i]), alignment, sizes[i]);
      check_and_free(aligned_alloc(alignment, sizes[i]), alignment, sizes[i]);
    }
  }
}

static void aligned_neighbours_do_not_overlap(void **state) {
  (void)state;
  enum { COUNT = 64 };
  void *objects[COUNT];
  for (size_t alignment = 16; alignment <= 64 * KIB; alignment *= 2) {
    for (size_t i = 0; i < COUNT; i++) {
      size_t size = 1 + i * i * 3;
      objects[i] = memalign(alignment, size);
      assert_non_null(objects[i]);
      assert_true(is_aligned(objects[i], alignment));
      pattern_fill(objects[i], malloc_usable_size(objects[i]), i);
    }
    for (size_t i = 0; i < COUNT; i++) {
      size_t usable = malloc_usable_size(objects[i]);
      assert_int_equal(pattern_mismatch(objects[i], usable, i), usable);
      free(objects[i]);
    }
  }
}

/* Blocks of odd numbers of pages between them, so that nothing is aligned by chance. */
static void alignment_holds_wherever_the_pages_are(void **state) {
  (void)state;
  enum { COUNT = 500 };
  static struct {
    void *object, *spacer;
    size_t size;
  } table[COUNT];
  struct dice dice = {5};
  for (int i = 0; i < 20000; i++) {
    int slot = dice_below(&dice, COUNT);
    void *old = table[slot].object;
    assert_int_equal(pattern_mismatch(old, table[slot].size, slot), table[slot].size);
    free(old);
    free(table[slot].spacer);
    size_t alignment = (size_t)8 << dice_below(&dice, 15);
    size_t size = dice_size(&dice, 16);
    void *object = memalign(alignment, size);
    assert_non_null(object);
    if (!is_aligned(object, alignment)) fail_msg("memalign(%zu, %zu) gives %p", alignment, size, object);
    pattern_fill(object, size, slot);
    table[slot].object = object;
    table[slot].size = size;
    table[slot].spacer = malloc(4096 * (1 + 2 * dice_below(&dice, 8)));
  }
  for (int i = 0; i < COUNT; i++) {
    free(table[i].object);
    free(table[i].spacer);
  }
}

static void small_alignments_of_memalign_are_fine(void **state) {
  (void)state;
  check_and_free(memalign(1, 100), 16, 100);
  check_and_free(memalign(2, 100), 16, 100);
  check_and_free(memalign(4, 100), 16, 100);
  check_and_free(aligned_alloc(1, 100), 16, 100);
}

static void posix_memalign_refuses_bad_alignments(void **state) {
  (void)state;
  static const size_t bad[] = {0, 1, 2, 3, 4, 7, 9, 24, 48, 1000, 4097, SIZE_MAX, SIZE_MAX / 2};
  char here;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    void *object = &here;
    errno = 0;
    if (posix_memalign(&object, opaque_size(bad[i]), 100) != EINVAL)
      fail_msg("posix_memalign takes an alignment of %zu", bad[i]);
    assert_ptr_equal(object, &here);
    assert_int_equal(errno, 0);
  }
}

static void aligned_alloc_refuses_bad_alignments(void **state) {
  (void)state;
  static const size_t bad[] = {0, 3, 24, 48, 1000, 4097, SIZE_MAX};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    errno = 0;
    if (opaque(aligned_alloc(opaque_size(bad[i]), 9600)) != NULL)
      fail_msg("aligned_alloc takes an alignment of %zu", bad[i]);
    assert_int_equal(errno, EINVAL);
  }
}

/* glibc's memalign rounds a bad alignment up instead of refusing it; both are safe for a caller. */
static void memalign_refuses_or_rounds_bad_alignments(void **state) {
  (void)state;
  static const size_t bad[] = {3, 24, 48, 1000, 4097};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    errno = 0;
    void *object = opaque(memalign(opaque_size(bad[i]), 100));
    if (object == NULL) {
      assert_int_equal(errno, EINVAL);
    } else {
      size_t rounded = 1;
      while (rounded < bad[i]) rounded *= 2;
      assert_true(is_aligned(object, rounded));
    }
    free(object);
  }
  errno = 0;
  assert_null(opaque(memalign(opaque_size(SIZE_MAX), 100)));
  assert_true(errno == EINVAL || errno == ENOMEM);
}

static void impossible_alignments_give_enomem(void **state) {
  (void)state;
  char here;
  void *object = &here;
  assert_int_equal(posix_memalign(&object, opaque_size((size_t)1 << 62), 100), ENOMEM);
  assert_int_equal(posix_memalign(&object, opaque_size((size_t)1 << 62), opaque_size(PTRDIFF_MAX)), ENOMEM);
  assert_ptr_equal(object, &here);
  errno = 0;
  assert_null(opaque(aligned_alloc(opaque_size((size_t)1 << 62), 100)));
  assert_int_equal(errno, ENOMEM);
}

static void valloc_and_pvalloc_align_to_pages(void **state) {
  (void)state;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 100000, 3000000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    check_and_free(valloc(sizes[i]), page, sizes[i]);
    check_and_free(pvalloc(sizes[i]), page, (sizes[i] + page - 1) / page * page);
  }
  check_and_free(valloc(0), page, 0);
  void *object = pvalloc(0);
  assert_non_null(object);
  assert_true(is_aligned(object, page));
  free(object);
}

static void realloc_of_aligned_objects_keeps_bytes(void **state) {
  (void)state;
  for (size_t alignment = 16; alignment <= MIB; alignment *= 4) {
    for (size_t size = 10; size <= 100000; size *= 10) {
      void *object = memalign(alignment, size);
      assert_non_null(object);
      pattern_fill(object, size, size);
      object = realloc(object, size * 4);
      assert_non_null(object);
      assert_int_equal(pattern_mismatch(object, size, size), size);
      object = realloc(object, size / 2);
      assert_non_null(object);
      assert_int_equal(pattern_mismatch(object, size / 2, size), size / 2);
      free(object);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_alignment_with_many_sizes),
      cmocka_unit_test(aligned_neighbours_do_not_overlap),
      cmocka_unit_test(alignment_holds_wherever_the_pages_are),
      cmocka_unit_test(small_alignments_of_memalign_are_fine),
      cmocka_unit_test(posix_memalign_refuses_bad_alignments),
      cmocka_unit_test(aligned_alloc_refuses_bad_alignments),
      cmocka_unit_test(memalign_refuses_or_rounds_bad_alignments),
      cmocka_unit_test(impossible_alignments_give_enomem),
      cmocka_unit_test(valloc_and_pvalloc_align_to_pages),
      cmocka_unit_test(realloc_of_aligned_objects_keeps_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
