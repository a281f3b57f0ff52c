#include "mesh_gain.h"
#include "mesh_apply.h"
#include "unit.h"

/* Neighbours all: half as many rows of twice the length. */
static RowCount count(uint32_t slots, size_t live_percent, size_t spans) {
  RowCount n = {.slots = slots, .span_pages = 1, .spans = spans, .live = spans * slots * live_percent / 100};
  for (unsigned i = 0; i < RUN_LENGTHS; i++) n.rows_of[i] = spans >> i;
  return n;
}

static RowPlan plan(uint32_t slots, size_t live_percent, size_t spans, size_t maps) {
  const RowCount n = count(slots, live_percent, spans);
  return mesh_plan_rows(&n, &(MapBudget){.maps = maps, .price = MESH_MAP_PRICE}, MESH_RUN_SPANS);
}

TEST(sparse_spans_go_in_long_rows_and_dense_ones_alone) {
  assert_true(plan(16, 2, 10000, 20000).run > 1);
  assert_int_equal(plan(16, 50, 10000, 20000).run, 1);
  uint32_t last = MESH_RUN_SPANS;
  for (size_t percent = 1; percent < 100; percent++) {
    uint32_t run = plan(16, percent, 10000, 20000).run;
    assert_true(run <= last);
    last = run;
  }
}

TEST(fewer_mappings_win_less) {
  double last = plan(16, 13, 1000000, 2000000).gain;
  assert_true(last > 0);
  for (size_t maps = 1000000; maps >= 1000; maps /= 2) {
    double gain = plan(16, 13, 1000000, maps).gain;
    assert_true(gain <= last);
    last = gain;
  }
  assert_int_equal(plan(16, 13, 1000000, 40000).run, MESH_RUN_SPANS);
}

/* What does not fit by page goes in pairs. */
TEST(a_budget_a_little_too_small_costs_little) {
  const RowPlan plenty = plan(256, 6, 50000, 100000), some = plan(256, 6, 50000, 47000);
  assert_int_equal(plenty.run, 1);
  assert_false(plenty.mixed);
  assert_true(some.mixed && some.run > 1 && some.rows * some.run < 50000 / 4);
  assert_true(some.gain > plenty.gain * 0.95);
}

TEST(a_dear_mapping_has_to_win_more) {
  const RowCount n = count(16, 13, 100000);
  uint32_t last = 1;
  for (double price = 0.01; price < 100; price *= 2) {
    RowPlan p = mesh_plan_rows(&n, &(MapBudget){.maps = 1000000, .price = price}, MESH_RUN_SPANS);
    if (p.gain <= 0) break;
    assert_true(p.run >= last);
    last = p.run;
  }
  assert_int_equal(last, MESH_RUN_SPANS);
}

TEST(gaps_and_fillers_count) {
  const MapBudget budget = {.maps = 1000, .price = MESH_MAP_PRICE};
  RowCount n = count(16, 30, 1000);
  const double neighbours = mesh_plan_rows(&n, &budget, 1).gain;
  n.gaps = 500;
  const double apart = mesh_plan_rows(&n, &budget, 1).gain;
  assert_true(apart < neighbours);
  n.holes = 500;
  assert_true(mesh_plan_rows(&n, &budget, 1).gain < apart);
}

TEST(rows_keep_to_their_bounds) {
  for (uint32_t slots = 1; slots <= 256; slots++)
    for (size_t percent = 1; percent <= 100; percent++)
      for (uint32_t run_max = 1; run_max <= MESH_RUN_SPANS; run_max *= 2) {
        const RowCount n = count(slots, percent, 5000);
        const RowPlan p = mesh_plan_rows(&n, &(MapBudget){.maps = 500, .price = MESH_MAP_PRICE}, run_max);
        assert_true(p.run >= 1 && p.run <= run_max && (p.run & (p.run - 1)) == 0);
        assert_true(p.run == 1 || p.run * slots / 64 < MESH_RUN_WORDS);
        assert_true(p.rows <= 500);
      }
}

TEST(where_there_is_nothing_to_win_there_is_no_row) {
  assert_int_equal(plan(16, 100, 10000, 20000).rows, 0);
  assert_int_equal(plan(16, 10, 0, 20000).rows, 0);
  assert_int_equal(plan(16, 10, 10000, 0).rows, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sparse_spans_go_in_long_rows_and_dense_ones_alone),
      cmocka_unit_test(fewer_mappings_win_less),
      cmocka_unit_test(a_budget_a_little_too_small_costs_little),
      cmocka_unit_test(a_dear_mapping_has_to_win_more),
      cmocka_unit_test(gaps_and_fillers_count),
      cmocka_unit_test(rows_keep_to_their_bounds),
      cmocka_unit_test(where_there_is_nothing_to_win_there_is_no_row),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
