#include "mesh_gain.h"
#include "mesh_apply.h"
#include "unit.h"

/* Neighbours all: half as many rows of twice the length. */
static RowCount count(uint32_t slots, size_t live_percent, size_t spans) {
  RowCount n = {.slots = slots, .live_percent = live_percent};
  for (unsigned i = 0; i < RUN_LENGTHS; i++) n.rows_of[i] = spans >> i;
  return n;
}

static uint32_t choose(uint32_t slots, size_t live_percent, size_t spans, size_t maps) {
  const RowCount n = count(slots, live_percent, spans);
  const bool scarce = maps < spans;
  const MapsLeft left = {.maps = maps, .scarce = scarce, .filled = scarce};
  return mesh_choose_run(&n, &left, MESH_RUN_SPANS);
}

TEST(sparse_spans_go_in_long_rows_and_dense_ones_alone) {
  assert_true(choose(16, 2, 10000, 20000) > 1);
  assert_int_equal(choose(16, 50, 10000, 20000), 1);
  uint32_t last = MESH_RUN_SPANS;
  for (size_t percent = 1; percent < 100; percent++) {
    uint32_t run = choose(16, percent, 10000, 20000);
    assert_true(run <= last);
    last = run;
  }
}

TEST(fewer_mappings_make_longer_rows) {
  const uint32_t plenty = choose(16, 13, 1000000, 1000000), some = choose(16, 13, 1000000, 200000);
  const uint32_t few = choose(16, 13, 1000000, 40000);
  assert_true(plenty < some && some < few);
  assert_int_equal(few, MESH_RUN_SPANS);
}

TEST(rows_keep_to_their_bounds) {
  for (uint32_t slots = 1; slots <= 256; slots++)
    for (size_t percent = 1; percent < 100; percent++) {
      const RowCount n = count(slots, percent, 5000);
      const MapsLeft left = {.maps = 500, .scarce = true, .filled = true};
      for (uint32_t run_max = 1; run_max <= MESH_RUN_SPANS; run_max *= 2) {
        uint32_t run = mesh_choose_run(&n, &left, run_max);
        assert_true(run >= 1 && run <= run_max && (run & (run - 1)) == 0);
        assert_true(run == 1 || run * slots / 64 < MESH_RUN_WORDS);
      }
    }
}

TEST(nothing_to_win_is_a_row_of_one) {
  assert_int_equal(choose(16, 100, 10000, 20000), 1);
  assert_int_equal(choose(16, 10, 0, 0), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sparse_spans_go_in_long_rows_and_dense_ones_alone),
      cmocka_unit_test(fewer_mappings_make_longer_rows),
      cmocka_unit_test(rows_keep_to_their_bounds),
      cmocka_unit_test(nothing_to_win_is_a_row_of_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
