#include "bits.h"
#include "content.h"
#include "meta.h"
#include "rng.h"
#include "unit.h"

static const size_t largest = (size_t)1 << META_MAX_SHIFT;

/* Those of a cache line and more lie in no other's. */
TEST(blocks_are_aligned_to_their_size_up_to_a_page) {
  for (size_t size = 1; size <= largest; size = size * 3 / 2 + 1) {
    void *block = meta_alloc(size);
    assert_non_null(block);
    const size_t rounded = max_size((size_t)1 << log2_ceil(size), (size_t)1 << META_MIN_SHIFT);
    assert_int_equal((uintptr_t)block % min_size(rounded, 4096), 0);
    meta_free(block, size);
  }
}

TEST(blocks_are_reused_by_power_of_two) {
  for (unsigned shift = META_MIN_SHIFT + 1; shift <= META_MAX_SHIFT; shift++) {
    size_t size = (size_t)1 << shift;
    void *block = meta_alloc(size);
    meta_free(block, size);
    void *larger = shift < META_MAX_SHIFT ? meta_alloc(size + 1) : NULL;
    void *smaller = meta_alloc(size / 2);
    assert_ptr_not_equal(larger, block);
    assert_ptr_not_equal(smaller, block);
    assert_ptr_equal(meta_alloc(size / 2 + 1), block);
    meta_free(block, size / 2 + 1);
    meta_free(smaller, size / 2);
    if (larger != NULL) meta_free(larger, size + 1);
  }
}

TEST(blocks_do_not_overlap) {
  enum { BLOCKS = 200 };
  struct {
    void *address;
    size_t size;
  } block[BLOCKS] = {{NULL, 0}};
  Rng rng;
  rng_seed(&rng, 1);
  for (int step = 0; step < 4000; step++) {
    size_t i = rng_below(&rng, BLOCKS);
    if (block[i].address != NULL) {
      assert_true(content_holds(block[i].address, block[i].size, i));
      meta_free(block[i].address, block[i].size);
    }
    block[i].size = 1 + rng_below(&rng, (uint32_t)1 << (META_MIN_SHIFT + rng_below(&rng, 8)));
    block[i].address = meta_alloc(block[i].size);
    content_fill(block[i].address, block[i].size, i);
  }
  for (size_t i = 0; i < BLOCKS; i++)
    if (block[i].address != NULL) meta_free(block[i].address, block[i].size);
}

TEST(a_steady_demand_takes_nothing_more_from_the_system) {
  void *block[64];
  size_t mapped = 0;
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < COUNT(block); i++) block[i] = meta_alloc(4096);
    for (size_t i = 0; i < COUNT(block); i++) meta_free(block[i], 4096);
    if (round == 0) mapped = meta_resident();
  }
  assert_true(mapped > 0);
  assert_int_equal(meta_resident(), mapped);
}

static void purge_unwanted(void) {
  while (meta_purge_some(1)) {
  }
  meta_mark();
}

TEST(what_nobody_wants_gives_its_pages_back) {
  void *block[200];
  meta_purge_all();
  size_t before = meta_resident();
  for (size_t i = 0; i < COUNT(block); i++) block[i] = meta_alloc(4096);
  for (size_t i = 0; i < COUNT(block); i++) meta_free(block[i], 4096);
  size_t after = meta_resident();
  assert_true(after > before);
  purge_unwanted(); /* they were wanted a moment ago */
  assert_int_equal(meta_resident(), after);
  purge_unwanted();
  assert_true(meta_resident() <= after - (COUNT(block) - 16) * 4096);
  size_t purged = meta_resident();
  purge_unwanted();
  assert_int_equal(meta_resident(), purged);

  for (size_t i = 0; i < COUNT(block); i++) content_fill(block[i] = meta_alloc(4096), 4096, i);
  for (size_t i = 0; i < COUNT(block); i++) assert_true(content_holds(block[i], 4096, i));
  assert_true(meta_resident() <= after);
  for (size_t i = 0; i < COUNT(block); i++) meta_free(block[i], 4096);
  assert_true(meta_purge_due());
  meta_purge_all();
  assert_false(meta_purge_due());
  assert_true(meta_resident() <= purged + 4096);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_aligned_to_their_size_up_to_a_page),
      cmocka_unit_test(blocks_are_reused_by_power_of_two),
      cmocka_unit_test(blocks_do_not_overlap),
      cmocka_unit_test(a_steady_demand_takes_nothing_more_from_the_system),
      cmocka_unit_test(what_nobody_wants_gives_its_pages_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
