#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "mesh_match.h"
#include "rng.h"
#include "unit.h"

enum { GUARD_BYTES = 64, GUARD = 0xa5 };

typedef struct Input {
  uint64_t *bitmaps;
  size_t count, slots, words;
} Input;

typedef struct Matched {
  MeshMatch match;
  unsigned char *memory;
} Matched;

static void *must_have(size_t bytes) {
  void *memory = malloc(bytes + 1);
  assert_non_null(memory);
  return memory;
}

static uint64_t *row(const Input *in, size_t i) { return in->bitmaps + i * in->words; }

static Input input_new(size_t count, size_t slots) {
  Input in = {.count = count, .slots = slots, .words = bitmap_words(slots)};
  size_t bytes = count * in.words * sizeof *in.bitmaps;
  in.bitmaps = must_have(bytes);
  memset(in.bitmaps, 0, bytes);
  return in;
}

static Input random_input(size_t count, size_t slots, double p, uint64_t seed) {
  Input in = input_new(count, slots);
  uint32_t live_below = (uint32_t)(p * 4294967296.0);
  Rng rng;
  rng_seed(&rng, seed);
  for (size_t i = 0; i < count; i++)
    for (size_t s = 0; s < slots; s++)
      if (rng_next(&rng) < live_below) bitmap_set(row(&in, i), s);
  return in;
}

static void fill_row(Input *in, size_t i) {
  for (size_t s = 0; s < in->slots; s++) bitmap_set(row(in, i), s);
}

/* Memory that is dirty, aligned to no more than 8 bytes, and followed by a guard. */
static Matched begin(const Input *in, unsigned char dirt) {
  Matched r;
  size_t bytes = mesh_match_memory(in->count, in->slots);
  r.memory = must_have(8 + bytes + GUARD_BYTES);
  memset(r.memory, dirt, 8 + bytes);
  memset(r.memory + 8 + bytes, GUARD, GUARD_BYTES);
  mesh_match_begin(&r.match, r.memory + 8, in->bitmaps, in->count, in->slots);
  return r;
}

static Matched match(const Input *in) {
  Matched r = begin(in, 0xff);
  assert_true(mesh_match_step(&r.match, SIZE_MAX));
  return r;
}

/* Starting at entry `i` of the members, checks a group; returns where the next one starts. */
static size_t check_group(const Input *in, const MeshMatch *m, size_t i, uint64_t *frame, bool *seen) {
  size_t leader = m->member[i], start = i;
  assert_int_equal(m->group[leader], leader);
  memset(frame, 0, in->words * sizeof *frame);
  for (; i < m->grouped && (i == start || m->group[m->member[i]] != m->member[i]); i++) {
    size_t member = m->member[i];
    assert_true(member < in->count);
    assert_false(seen[member]);
    seen[member] = true;
    assert_int_equal(m->group[member], leader);
    assert_true(bitmap_count(row(in, member), in->slots) <= bitmap_count(row(in, leader), in->slots));
    for (size_t w = 0; w < in->words; w++) {
      assert_true((frame[w] & row(in, member)[w]) == 0);
      frame[w] |= row(in, member)[w];
    }
  }
  return i;
}

/* Every row is in one group, the rows of a group are disjoint, and the memory was enough. */
static void check_groups(const Input *in, const Matched *r) {
  const MeshMatch *m = &r->match;
  uint64_t *frame = must_have(in->words * sizeof *frame);
  bool *seen = must_have(in->count * sizeof *seen);
  memset(seen, 0, in->count * sizeof *seen);
  size_t groups = 0;
  for (size_t i = 0; i < m->grouped; groups++) i = check_group(in, m, i, frame, seen);
  assert_int_equal(m->groups, groups);
  assert_int_equal(m->grouped, in->count);
  const unsigned char *guard = r->memory + 8 + mesh_match_memory(in->count, in->slots);
  for (size_t i = 0; i < GUARD_BYTES; i++) assert_int_equal(guard[i], GUARD);
  free(seen);
  free(frame);
}

/* Matches, checks and frees; returns the number of groups. */
static size_t groups_of(Input in) {
  Matched r = match(&in);
  check_groups(&in, &r);
  size_t groups = r.match.groups;
  free(r.memory);
  free(in.bitmaps);
  return groups;
}

static void check_same(const Matched *a, const Matched *b) {
  assert_int_equal(a->match.groups, b->match.groups);
  assert_int_equal(a->match.grouped, b->match.grouped);
  size_t bytes = a->match.grouped * sizeof *a->match.member;
  assert_memory_equal(a->match.member, b->match.member, bytes);
  assert_memory_equal(a->match.group, b->match.group, bytes);
}

TEST(no_rows_no_groups) { assert_int_equal(groups_of(input_new(0, 16)), 0); }

TEST(one_row_is_a_group) {
  assert_int_equal(groups_of(input_new(1, 16)), 1);
  assert_int_equal(groups_of(random_input(1, 256, 0.5, 1)), 1);
}

TEST(empty_rows_share_one_frame) {
  assert_int_equal(groups_of(input_new(5000, 16)), 1);
  assert_int_equal(groups_of(input_new(5000, 4096)), 1);
}

TEST(full_rows_stay_alone) {
  Input in = input_new(5000, 100);
  for (size_t i = 0; i < in.count; i++) fill_row(&in, i);
  assert_int_equal(groups_of(in), in.count);
}

TEST(empty_rows_join_a_group_that_is_there) {
  Input in = input_new(1000, 16);
  for (size_t i = 0; i < in.count; i += 2) fill_row(&in, i);
  assert_int_equal(groups_of(in), in.count / 2);
}

/* Each row and its complement fill a frame: nothing else is as good. */
TEST(complements_find_each_other) {
  Input in = random_input(2000, 200, 0.3, 7);
  for (size_t i = 0; i < in.count; i += 2)
    for (size_t s = 0; s < in.slots; s++)
      if (bitmap_get(row(&in, i), s)) {
        bitmap_clear(row(&in, i + 1), s);
      } else {
        bitmap_set(row(&in, i + 1), s);
      }
  assert_int_equal(groups_of(in), in.count / 2);
}

/* One live slot each: as many rows to a frame as it has slots. */
TEST(single_objects_fill_frames) {
  Input in = input_new(64 * 50, 64);
  for (size_t i = 0; i < in.count; i++) bitmap_set(row(&in, i), i * 5 % 64);
  assert_int_equal(groups_of(in), 50);
}

TEST(a_slot_that_all_need_keeps_all_alone) {
  Input in = random_input(20000, 64, 0.1, 3);
  for (size_t i = 0; i < in.count; i++) bitmap_set(row(&in, i), 63);
  assert_int_equal(groups_of(in), in.count);
}

TEST(groups_hold_for_any_number_of_slots) {
  static const size_t slots[] = {1, 2, 3, 7, 15, 31, 63, 64, 65, 100, 127, 129, 1000, 4096, 65535};
  static const double p[] = {0.02, 0.3, 0.7};
  for (size_t i = 0; i < COUNT(slots); i++) {
    size_t count = slots[i] > 1000 ? 100 : 1100;
    for (size_t j = 0; j < COUNT(p); j++) groups_of(random_input(count, slots[i], p[j], i));
  }
}

TEST(groups_hold_for_any_number_of_rows) {
  static const size_t counts[] = {2,   3,    63,   64,     65,     511,    512,
                                  513, 1023, 1025, 131071, 131072, 131073, 400001};
  for (size_t i = 0; i < COUNT(counts); i++) {
    size_t groups = groups_of(random_input(counts[i], 8, 0.3, i));
    if (counts[i] > 100000) assert_true(groups < counts[i] * 31 / 100);
  }
}

/* Neighbours are alike in a heap. If each part took a stretch of them, none here would find its match. */
TEST(rows_are_dealt_out_to_parts) {
  Input in = input_new(4 * MATCH_PART_ROWS, 16);
  for (size_t i = 0; i < in.count; i++) row(&in, i)[0] = i < in.count / 2 ? 0x00ff : 0xff00;
  assert_int_equal(groups_of(in), in.count / 2);
}

TEST(same_result_for_any_budget) {
  static const size_t budgets[] = {0, 1, 100, 12345};
  Input in = random_input(3000, 70, 0.15, 11);
  Matched whole = match(&in);
  for (size_t i = 0; i < COUNT(budgets); i++) {
    Matched r = begin(&in, (unsigned char)i);
    size_t steps = 1;
    while (!mesh_match_step(&r.match, budgets[i])) steps++;
    assert_true(steps > 10);
    check_same(&whole, &r);
    free(r.memory);
  }
  free(whole.memory);
  free(in.bitmaps);
}

/* What is in a group may be used, and change, while the rest is being matched. */
TEST(reported_rows_are_not_read_again) {
  Input in = random_input(3000, 40, 0.2, 13);
  Matched whole = match(&in), r = begin(&in, 0);
  size_t reported = 0;
  for (bool done = false; !done;) {
    done = mesh_match_step(&r.match, 1000);
    for (; reported < r.match.grouped; reported++) {
      uint64_t *mine = row(&in, r.match.member[reported]);
      memset(mine, (int)reported, in.words * sizeof *mine);
    }
  }
  check_same(&whole, &r);
  free(whole.memory);
  free(r.memory);
  free(in.bitmaps);
}

/* Frames left for each of 20,000 random spans: what plain best fit leaves, and 3% for the luck of the draw.
 */
TEST(packs_as_well_as_best_fit) {
  static const struct {
    size_t slots;
    double p, best_fit;
  } table[] = {
      {8, 0.30, 0.307},  {8, 0.50, 0.509},  {16, 0.30, 0.311},  {16, 0.50, 0.598},  {32, 0.20, 0.217},
      {32, 0.30, 0.381}, {64, 0.20, 0.304}, {128, 0.05, 0.058}, {256, 0.05, 0.085}, {256, 0.10, 0.259},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    size_t groups = groups_of(random_input(20000, table[i].slots, table[i].p, 1));
    assert_true((double)groups <= 20000 * table[i].best_fit * 1.03);
  }
}

/* Where there is room for choice, trying several fillings of a frame beats best fit by far. */
TEST(packs_better_than_best_fit) {
  assert_true(groups_of(random_input(20000, 32, 0.30, 1)) < 20000 * 0.365);
  assert_true(groups_of(random_input(20000, 64, 0.20, 1)) < 20000 * 0.285);
  assert_true(groups_of(random_input(20000, 256, 0.10, 1)) < 20000 * 0.235);
}

TEST(memory_is_small) {
  assert_true(mesh_match_memory(2000000, 16) <= 2000000 * 8 + 18 * MIB);
  assert_true(mesh_match_memory(100000, 4096) <= 100000 * 8 + 18 * MIB);
  assert_true(mesh_match_memory(1000, 16) <= 24 * KIB);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_rows_no_groups),
      cmocka_unit_test(one_row_is_a_group),
      cmocka_unit_test(empty_rows_share_one_frame),
      cmocka_unit_test(full_rows_stay_alone),
      cmocka_unit_test(empty_rows_join_a_group_that_is_there),
      cmocka_unit_test(complements_find_each_other),
      cmocka_unit_test(single_objects_fill_frames),
      cmocka_unit_test(a_slot_that_all_need_keeps_all_alone),
      cmocka_unit_test(groups_hold_for_any_number_of_slots),
      cmocka_unit_test(groups_hold_for_any_number_of_rows),
      cmocka_unit_test(rows_are_dealt_out_to_parts),
      cmocka_unit_test(same_result_for_any_budget),
      cmocka_unit_test(reported_rows_are_not_read_again),
      cmocka_unit_test(packs_as_well_as_best_fit),
      cmocka_unit_test(packs_better_than_best_fit),
      cmocka_unit_test(memory_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
