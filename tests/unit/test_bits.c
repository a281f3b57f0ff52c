#include "bits.h"
#include "rng.h"
#include "unit.h"

enum { BITS = 200, WORDS = (BITS + 63) / 64 };

TEST(powers_of_two) {
  assert_false(is_power_of_two(0));
  for (unsigned shift = 0; shift < 64; shift++) {
    size_t x = (size_t)1 << shift;
    assert_true(is_power_of_two(x));
    assert_false(shift > 0 && is_power_of_two(x | 1));
    assert_false(shift > 1 && is_power_of_two(x - 1));
  }
}

TEST(rounding) {
  for (size_t to = 1; to <= 64; to *= 2)
    for (size_t x = 0; x < 300; x++) {
      assert_int_equal(round_down(x, to), x / to * to);
      assert_int_equal(round_up(x, to), (x + to - 1) / to * to);
    }
}

TEST(logarithms) {
  for (size_t x = 1; x < 5000; x++) {
    unsigned floor = 0;
    while (x >> (floor + 1) != 0) floor++;
    assert_int_equal(log2_floor(x), floor);
    assert_int_equal(log2_ceil(x), is_power_of_two(x) ? floor : floor + 1);
  }
  assert_int_equal(log2_floor(SIZE_MAX), 63);
  assert_int_equal(log2_ceil(SIZE_MAX), 64);
}

TEST(word_masks_cover_exactly_the_bits) {
  for (size_t bits = 1; bits <= BITS; bits++) {
    size_t covered = 0;
    for (size_t w = 0; w < bitmap_words(bits); w++) {
      uint64_t mask = bitmap_word_mask(bits, w);
      assert_int_equal(mask & (mask + 1), 0); /* ones from bit 0 up */
      covered += popcount64(mask);
    }
    assert_int_equal(covered, bits);
  }
}

static size_t next_in(const bool *model, size_t bits, size_t from) {
  while (from < bits && !model[from]) from++;
  return from < bits ? from : bits;
}

TEST(bitmaps_agree_with_arrays_of_bool) {
  uint64_t map[WORDS] = {0};
  bool model[BITS] = {false};
  Rng rng;
  rng_seed(&rng, 1);
  for (int step = 0; step < 5000; step++) {
    size_t i = rng_below(&rng, BITS), from = rng_below(&rng, BITS + 10), count = 0;
    /* Mostly clear, so that searches cross empty words. */
    model[i] = rng_below(&rng, 50) == 0;
    if (model[i])
      bitmap_set(map, i);
    else
      bitmap_clear(map, i);
    assert_int_equal(bitmap_get(map, i), model[i]);
    for (size_t j = 0; j < BITS; j++) count += model[j];
    assert_int_equal(bitmap_count(map, BITS), count);
    assert_int_equal(bitmap_next(map, BITS, from), next_in(model, BITS, from));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(powers_of_two),
      cmocka_unit_test(rounding),
      cmocka_unit_test(logarithms),
      cmocka_unit_test(word_masks_cover_exactly_the_bits),
      cmocka_unit_test(bitmaps_agree_with_arrays_of_bool),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
