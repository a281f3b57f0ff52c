#include "chi_square.h"
#include "rng.h"
#include "unit.h"

enum { CELLS_MAX = 1000, DRAWS = 100 };

TEST(numbers_stay_below_their_bound) {
  Rng rng;
  rng_seed(&rng, 1);
  for (uint32_t bound = 1; bound < 3000; bound++)
    for (int i = 0; i < 20; i++) assert_true(rng_below(&rng, bound) < bound);
  for (int i = 0; i < 1000; i++) assert_true(rng_below(&rng, UINT32_MAX) < UINT32_MAX);
}

TEST(all_numbers_are_equally_likely) {
  static const uint32_t bounds[] = {2, 3, 10, 64, 100, CELLS_MAX};
  for (size_t b = 0; b < COUNT(bounds); b++) {
    unsigned counts[CELLS_MAX] = {0};
    Rng rng;
    rng_seed(&rng, 2 + b);
    for (uint32_t i = 0; i < DRAWS * bounds[b]; i++) counts[rng_below(&rng, bounds[b])]++;
    assert_true(looks_uniform(counts, bounds[b]));
  }
}

TEST(a_number_tells_nothing_about_the_next) {
  enum { SIDE = 16 };
  unsigned counts[SIDE * SIDE] = {0};
  Rng rng;
  rng_seed(&rng, 3);
  uint32_t last = rng_below(&rng, SIDE);
  for (int i = 0; i < DRAWS * SIDE * SIDE; i++) {
    uint32_t x = rng_below(&rng, SIDE);
    counts[last * SIDE + x]++;
    last = x;
  }
  assert_true(looks_uniform(counts, SIDE * SIDE));
}

TEST(neighbouring_seeds_start_far_apart) {
  unsigned counts[16] = {0};
  for (uint64_t seed = 0; seed < DRAWS * 16; seed++) {
    Rng rng;
    rng_seed(&rng, seed);
    assert_true(rng.state != 0);
    counts[rng_below(&rng, 16)]++;
  }
  assert_true(looks_uniform(counts, 16));
}

TEST(the_same_seed_gives_the_same_numbers) {
  Rng a, b;
  rng_seed(&a, 42);
  rng_seed(&b, 42);
  for (int i = 0; i < 100; i++) assert_int_equal(rng_next(&a), rng_next(&b));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_stay_below_their_bound),
      cmocka_unit_test(all_numbers_are_equally_likely),
      cmocka_unit_test(a_number_tells_nothing_about_the_next),
      cmocka_unit_test(neighbouring_seeds_start_far_apart),
      cmocka_unit_test(the_same_seed_gives_the_same_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
