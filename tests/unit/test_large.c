#include <errno.h>
#include <string.h>

#include "arena.h"
#include "child.h"
#include "content.h"
#include "heap_api.h"
#include "init.h"
#include "large.h"
#include "unit.h"

/* On both sides of every boundary: classes and blocks, pages, copying and moving by page table. */
static const size_t sizes[] = {
    1,       16,      1000,   SMALL_MAX - 1,      SMALL_MAX,      SMALL_MAX + 1,      40000,
    65536,   100001,  200000, MOVE_PAGES_MIN - 1, MOVE_PAGES_MIN, MOVE_PAGES_MIN + 1, 500000,
    1048576, 3000000,
};

/* What lies behind the block decides whether it can grow in place. */
typedef enum Behind { FRONTIER, FREE_PAGES, A_NEIGHBOUR, BEHINDS } Behind;

static void check_realloc(size_t from, size_t to, Behind behind) {
  const uint64_t key = from * 31 + to;
  unsigned char *p = mesh_malloc(from);
  void *neighbour = behind == FRONTIER ? NULL : mesh_malloc(5000000), *end = mesh_malloc(40000);
  if (behind == FREE_PAGES) {
    memset(neighbour, 0xee, 100000);
    mesh_free(neighbour);
  }
  assert_non_null(p);
  content_fill(p, from, key);
  unsigned char *q = mesh_realloc(p, to);
  assert_non_null(q);
  assert_int_equal((uintptr_t)q % MIN_ALIGN, 0);
  assert_true(mesh_usable_size(q) >= to);
  assert_true(content_holds(q, min_size(from, to), key));
  memset(q, 0x11, mesh_usable_size(q)); /* all of it is ours */
  /* ... and what it left is whole. */
  unsigned char *r = mesh_calloc(1, from);
  for (size_t i = 0; i < from; i++)
    if (r[i] != 0) fail_msg("calloc(%zu): byte %zu is %u", from, i, r[i]);
  memset(r, 0x22, from);
  for (size_t i = 0; i < to; i += 64) assert_int_equal(q[i], 0x11);
  mesh_free(r);
  mesh_free(q);
  mesh_free(end);
  if (behind == A_NEIGHBOUR) mesh_free(neighbour);
}

TEST(every_size_becomes_every_other) {
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (size_t j = 0; j < COUNT(sizes); j++) check_realloc(sizes[i], sizes[j], (Behind)((i + j) % BEHINDS));
  arena_assert_state();
}

TEST(a_block_grows_and_shrinks_step_by_step) {
  size_t size = 100;
  unsigned char *p = mesh_malloc(size), *obstacle[20] = {NULL};
  content_fill(p, size, size);
  for (int step = 0; step < 40; step++) {
    size_t next = step < 20 ? size * 17 / 10 : size * 10 / 17, kept = size < next ? size : next;
    if (step % 3 == 0 && step < 20) obstacle[step] = mesh_malloc(50000);
    uint64_t key = size;
    p = mesh_realloc(p, next);
    assert_non_null(p);
    assert_true(content_holds(p, kept, key));
    size = next;
    content_fill(p, size, size);
  }
  arena_assert_state();
  mesh_free(p);
  for (size_t i = 0; i < COUNT(obstacle); i++) mesh_free(obstacle[i]);
}

TEST(zeroed_blocks_are_zero) {
  for (int round = 0; round < 50; round++) {
    size_t size = SMALL_MAX + 1 + (size_t)round * 12345;
    bool zeroed = false;
    unsigned char *p = large_malloc(size, 1, &zeroed);
    assert_non_null(p);
    if (zeroed) assert_true(p[0] == 0 && memcmp(p, p + 1, large_usable_size(p) - 1) == 0);
    memset(p, 0xff, large_usable_size(p));
    large_free(p);
    if (round % 10 == 0) mesh_trim();
  }
}

TEST(blocks_are_aligned_as_asked) {
  for (size_t align = 1; align <= 4 * MIB; align *= 2) {
    void *p = large_malloc(SMALL_MAX + 1, align, NULL);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % max_size(align, arena.page_size), 0);
    large_free(p);
  }
}

TEST(sizes_are_rounded_up_to_pages) {
  for (size_t size = SMALL_MAX + 1; size < SMALL_MAX + 3 * arena.page_size; size += 1000) {
    void *p = large_malloc(size, 1, NULL);
    assert_int_equal(large_usable_size(p), round_up(size, arena.page_size));
    large_free(p);
  }
}

TEST(impossible_sizes_are_refused) {
  static const size_t impossible[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX,
                                      (size_t)1 << 50};
  void *p = mesh_malloc(100000);
  content_fill(p, 100000, 1);
  for (size_t i = 0; i < COUNT(impossible); i++) {
    errno = 0;
    assert_null(large_malloc(impossible[i], 1, NULL));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(large_realloc(p, impossible[i]));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(large_malloc(1, (size_t)1 << 62, NULL));
    assert_int_equal(errno, ENOMEM);
  }
  assert_true(content_holds(p, 100000, 1));
  mesh_free(p);
  arena_assert_state();
}

static void free_it(void *p) { large_free(p); }

static void free_twice(void *p) {
  large_free(p);
  large_free(p);
}

TEST(misuse_is_reported) {
  char *p = mesh_malloc(100000), local;
  assert_child_aborts(free_twice, p, "double free of", p);
  assert_child_aborts(free_it, p + 16, "invalid free of", p + 16);
  assert_child_aborts(free_it, p + arena.page_size, "invalid free of", p + arena.page_size);
  assert_child_aborts(free_it, &local, "invalid free of", &local);
  char *never_used = page_address(arena.frontier);
  assert_child_aborts(free_it, never_used, "invalid free of", never_used);
  mesh_free(p);
}

static int init(void **unused) {
  (void)unused;
  return init_once() ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_size_becomes_every_other),
      cmocka_unit_test(a_block_grows_and_shrinks_step_by_step),
      cmocka_unit_test(zeroed_blocks_are_zero),
      cmocka_unit_test(blocks_are_aligned_as_asked),
      cmocka_unit_test(sizes_are_rounded_up_to_pages),
      cmocka_unit_test(impossible_sizes_are_refused),
      cmocka_unit_test(misuse_is_reported),
  };
  return cmocka_run_group_tests(tests, init, NULL);
}
