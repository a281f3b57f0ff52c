/* malloc, calloc, free and their kin: alignment, usable size, zeroing, errno. */
#include "test.h"

static void every_size_is_aligned_and_large_enough(void **state) {
  (void)state;
  for (size_t size = 1; size <= 70000; size++) {
    void *objects[3];
    size_t alignment = size >= 16 ? 16 : size >= 8 ? 8 : 1;
    for (int i = 0; i < 3; i++) {
      objects[i] = malloc(size);
      assert_non_null(objects[i]);
      if (!is_aligned(objects[i], alignment)) fail_msg("malloc(%zu) gives %p", size, objects[i]);
      assert_true(malloc_usable_size(objects[i]) >= size);
    }
    for (int i = 0; i < 3; i++) free(objects[i]);
  }
}

static void zero_sized_objects_are_unique(void **state) {
  (void)state;
  enum { COUNT = 1000 };
  static void *objects[COUNT];
  for (int i = 0; i < COUNT; i++) {
    switch (i % 5) {
      case 0:
        objects[i] = malloc(0);
        break;
      case 1:
        objects[i] = calloc(0, 8);
        break;
      case 2:
        objects[i] = calloc(8, 0);
        break;
      case 3:
        objects[i] = realloc(NULL, 0);
        break;
      case 4:
        objects[i] = aligned_alloc(64, 0);
        break;
    }
    assert_non_null(objects[i]);
    for (int j = 0; j < i; j++) assert_ptr_not_equal(objects[i], objects[j]);
  }
  for (int i = 0; i < COUNT; i++) free(objects[i]);
}

static void usable_bytes_belong_to_one_object(void **state) {
  (void)state;
  enum { COUNT = 32 };
  void *objects[COUNT];
  for (size_t size = 1; size <= 200000; size = next_size(size)) {
    for (int i = 0; i < COUNT; i++) {
      objects[i] = malloc(size);
      assert_non_null(objects[i]);
      pattern_fill(objects[i], malloc_usable_size(objects[i]), size * COUNT + i);
    }
    for (int i = 0; i < COUNT; i++) {
      size_t usable = malloc_usable_size(objects[i]);
      assert_int_equal(pattern_mismatch(objects[i], usable, size * COUNT + i), usable);
      free(objects[i]);
    }
  }
}

static void usable_size_of_null_is_zero(void **state) {
  (void)state;
  assert_int_equal(malloc_usable_size(NULL), 0);
}

static void internal_waste_is_an_eighth_at_most(void **state) {
  (void)state;
  enum { FIRST = 16, LAST = 16384 };
  double waste = 0;
  for (size_t size = FIRST; size <= LAST; size++) {
    void *object = malloc(size);
    waste += 1 - (double)size / malloc_usable_size(object);
    free(object);
  }
  waste /= LAST - FIRST + 1;
  print_message("average waste inside objects: %.2f%%\n", 100 * waste);
  assert_true(waste <= 0.125);
}

static void calloc_clears_reused_memory(void **state) {
  (void)state;
  for (size_t size = 1; size <= MIB; size = next_size(size)) {
    void *objects[4];
    for (int i = 0; i < 4; i++) {
      objects[i] = malloc(size);
      assert_non_null(objects[i]);
      memset(objects[i], 0xA5, malloc_usable_size(objects[i]));
    }
    for (int i = 0; i < 4; i++) free(objects[i]);
    for (int i = 0; i < 4; i++) {
      objects[i] = i % 2 ? calloc(1, size) : calloc(size, 1);
      assert_non_null(objects[i]);
      if (!is_zero(objects[i], size)) fail_msg("calloc of %zu bytes is not all zero", size);
    }
    for (int i = 0; i < 4; i++) free(objects[i]);
  }
}

/* Runs of pages are cut, joined, purged and reused here: what is known to be clean must really be. */
static void calloc_clears_large_blocks_among_dirty_ones(void **state) {
  (void)state;
  enum { COUNT = 16 };
  void *objects[COUNT] = {0};
  struct dice dice = {1};
  for (int round = 0; round < 600; round++) {
    size_t slot = dice_below(&dice, COUNT);
    size_t size = 4 * KIB + dice_below(&dice, 2 * MIB);
    free(objects[slot]);
    if (round % 3 == 0)
      assert_non_null(objects[slot] = malloc(size));
    else
      assert_non_null(objects[slot] = calloc(1, size));
    if (round % 3 != 0 && !is_zero(objects[slot], size))
      fail_msg("calloc of %zu bytes in round %d is not all zero", size, round);
    memset(objects[slot], 0xA5, size);
    if (round % 50 == 0) malloc_trim(0);
  }
  for (int i = 0; i < COUNT; i++) free(objects[i]);
}

static void free_leaves_errno(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 100, 5000, 100 * KIB, 2 * MIB, 64 * MIB};
  errno = 12345;
  free(NULL);
  assert_int_equal(errno, 12345);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (int round = 0; round < 2000 && round * sizes[i] < 200 * MIB; round++) {
      void *object = malloc(sizes[i]);
      assert_non_null(object);
      errno = 12345;
      free(object);
      assert_int_equal(errno, 12345);
    }
  }
}

/* Enough objects alive at once that freeing them overflows every cache on the way. */
static void freeing_many_leaves_errno(void **state) {
  (void)state;
  struct node {
    struct node *next;
  } *list = NULL;
  for (int i = 0; i < 200000; i++) {
    struct node *node = malloc(16 + i % 300);
    assert_non_null(node);
    node->next = list;
    list = node;
  }
  errno = 12345;
  while (list) {
    struct node *next = list->next;
    free(list);
    list = next;
  }
  assert_int_equal(errno, 12345);
}

static void cfree_frees(void **state) {
  (void)state;
  void (*cfree_function)(void *) = (void (*)(void *))(uintptr_t)dlsym(RTLD_DEFAULT, "cfree");
  if (!cfree_function) {
    print_message("skipped: no cfree\n");
    skip();
  }
  cfree_function(malloc(100));
  cfree_function(NULL);
}

/* C23's, which glibc has from 2.43 on. */
static void sized_frees_free(void **state) {
  (void)state;
  void (*free_sized_function)(void *, size_t) =
      (void (*)(void *, size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "free_sized");
  void (*free_aligned_sized_function)(void *, size_t, size_t) =
      (void (*)(void *, size_t, size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "free_aligned_sized");
  if (!free_sized_function || !free_aligned_sized_function) {
    print_message("skipped: no free_sized or free_aligned_sized\n");
    skip();
  }
  free_sized_function(NULL, 0);
  free_aligned_sized_function(NULL, 64, 0);
  for (size_t size = 1; size <= 4 * MIB; size *= 3) {
    free_sized_function(malloc(size), size);
    free_sized_function(calloc(1, size), size);
    size_t rounded = (size + 63) / 64 * 64;
    free_aligned_sized_function(aligned_alloc(64, rounded), 64, rounded);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_size_is_aligned_and_large_enough),
      cmocka_unit_test(zero_sized_objects_are_unique),
      cmocka_unit_test(usable_bytes_belong_to_one_object),
      cmocka_unit_test(usable_size_of_null_is_zero),
      cmocka_unit_test(internal_waste_is_an_eighth_at_most),
      cmocka_unit_test(calloc_clears_reused_memory),
      cmocka_unit_test(calloc_clears_large_blocks_among_dirty_ones),
      cmocka_unit_test(free_leaves_errno),
      cmocka_unit_test(freeing_many_leaves_errno),
      cmocka_unit_test(cfree_frees),
      cmocka_unit_test(sized_frees_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
