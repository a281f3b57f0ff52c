/* Memory that must not be taken, and memory that must go back. */
#include <time.h>

#include "test.h"

struct node {
  struct node *next;
};

static void push(struct node **list, void *object) {
  assert_non_null(object);
  struct node *node = object;
  node->next = *list;
  *list = node;
}

static void free_list(struct node *list) {
  while (list) {
    struct node *next = list->next;
    free(list);
    list = next;
  }
}

static void check_cost_of_aligned(size_t alignment, size_t size) {
  require_pss();
  enum { COUNT = 10000 };
  struct node *list = NULL;
  size_t before = process_pss();
  for (int i = 0; i < COUNT; i++) {
    void *object;
    assert_int_equal(posix_memalign(&object, alignment, size), 0);
    memset(object, 1, size);
    push(&list, object);
  }
  size_t rounded = (size + alignment - 1) / alignment * alignment;
  size_t after = process_pss();
  size_t cost = after > before ? after - before : 0;
  free_list(list);
  print_message("%d of alignment %zu, size %zu: %zu bytes each\n", COUNT, alignment, size, cost / COUNT);
  assert_true(cost <= COUNT * rounded * 5 / 4 + 2 * MIB);
}

static void aligned_small_objects_cost_no_page(void **state) {
  (void)state;
  check_cost_of_aligned(64, 64);
  check_cost_of_aligned(256, 100);
  check_cost_of_aligned(32, 20);
  check_cost_of_aligned(1024, 1024);
}

static void calloc_of_a_gigabyte_is_not_resident(void **state) {
  (void)state;
  require_pss();
  size_t before = process_pss();
  char *block = calloc(1, GIB);
  if (block == NULL) {
    print_message("skipped: no gigabyte to be had\n");
    skip();
  }
  for (size_t offset = 0; offset < GIB; offset += 64 * MIB) block[offset] = 1;
  assert_true(process_pss() < before + 16 * MIB);
  free(block);
}

static void malloc_of_large_blocks_is_not_resident(void **state) {
  (void)state;
  require_pss();
  size_t before = process_pss();
  struct node *list = NULL;
  for (int i = 0; i < 32; i++) push(&list, malloc(8 * MIB));
  assert_true(process_pss() < before + 16 * MIB);
  free_list(list);
}

/* The 200 MiB to give back: every third object on a list of its own, so that spans do not empty one by one.
 */
static void build(struct node *lists[3], unsigned bits) {
  struct dice dice = {bits};
  for (size_t total = 0; total < 200 * MIB;) {
    size_t size = sizeof(struct node) + dice_size(&dice, bits);
    void *object = malloc(size);
    assert_non_null(object);
    memset(object, 1, size);
    push(&lists[dice_below(&dice, 3)], object);
    total += size;
  }
}

static void build_and_free(unsigned bits) {
  struct node *lists[3] = {NULL, NULL, NULL};
  build(lists, bits);
  assert_true(process_pss() > 150 * MIB);
  for (int i = 0; i < 3; i++) free_list(lists[i]);
}

/* A program that goes on with its life: 2,000 objects come and go. */
static void some_activity(void) {
  struct node *list = NULL;
  struct dice dice = {6};
  for (int i = 0; i < 2000; i++) push(&list, malloc(sizeof(struct node) + dice_size(&dice, 12)));
  free_list(list);
}

/* 300 ms do on an idle machine; a busy one gets more before this counts as kept. */
static void check_goes_back_by_itself(void) {
  for (int i = 0; i < 30 && (i == 0 || process_pss() >= 20 * MIB); i++) {
    for (int j = 0; j < 6; j++) {
      some_activity();
      nanosleep(&(struct timespec){0, 50 * 1000 * 1000}, NULL);
    }
  }
  some_activity();
  print_message("resident in the end: %zu KiB\n", process_pss() / KIB);
  assert_true(process_pss() < 20 * MIB);
}

static void small_objects_go_back_by_malloc_trim(void **state) {
  (void)state;
  require_pss();
  build_and_free(11);
  malloc_trim(0);
  assert_true(process_pss() < 20 * MIB);
}

static void large_objects_go_back_by_malloc_trim(void **state) {
  (void)state;
  require_pss();
  build_and_free(22);
  malloc_trim(0);
  assert_true(process_pss() < 20 * MIB);
}

static void small_objects_go_back_by_themselves(void **state) {
  (void)state;
  require_pss();
  build_and_free(11);
  check_goes_back_by_itself();
}

static void large_objects_go_back_by_themselves(void **state) {
  (void)state;
  require_pss();
  build_and_free(22);
  check_goes_back_by_itself();
}

/* What one size leaves must serve another: the heap may not grow by each size's own peak. */
static void one_size_reuses_what_another_left(void **state) {
  (void)state;
  require_pss();
  for (size_t size = 24; size < 20000; size *= 2) {
    struct node *list = NULL;
    for (size_t total = 0; total < 64 * MIB; total += size) {
      void *object = malloc(size);
      memset(object, 1, size);
      push(&list, object);
    }
    free_list(list);
  }
  print_message("resident after 64 MiB of each size: %zu KiB\n", process_pss() / KIB);
  assert_true(process_pss() < 160 * MIB);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(aligned_small_objects_cost_no_page),
      cmocka_unit_test(calloc_of_a_gigabyte_is_not_resident),
      cmocka_unit_test(malloc_of_large_blocks_is_not_resident),
      cmocka_unit_test(small_objects_go_back_by_malloc_trim),
      cmocka_unit_test(large_objects_go_back_by_malloc_trim),
      cmocka_unit_test(small_objects_go_back_by_themselves),
      cmocka_unit_test(large_objects_go_back_by_themselves),
      cmocka_unit_test(one_size_reuses_what_another_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
