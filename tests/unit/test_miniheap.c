#include <string.h>

#include "chi_square.h"
#include "miniheap.h"
#include "unit.h"

enum { PAGE_SIZE = 4096, PAGE_NUMBER = 7, SLOT_SIZE = 32, SLOTS = PAGE_SIZE / SLOT_SIZE };

/* A table entry and the span that it describes. */
static MiniHeap entry;
static char span[PAGE_SIZE];
static MiniHeap *const mh = &entry;

static void init_span(void) {
  size_classes_init(PAGE_SIZE);
  memset(&entry, 0xff, sizeof entry); /* what a page was before must not matter */
  assert_true(miniheap_init(mh, PAGE_NUMBER, size_class_of(SLOT_SIZE)));
}

static uint64_t *bitmap(void) { return miniheap_bitmap(mh, miniheap_class(mh)); }

/* All slots live but these. */
static void leave_free(const size_t *slots, size_t count) {
  init_span();
  for (size_t i = 0; i < SLOTS; i++) bitmap_set(bitmap(), i);
  for (size_t i = 0; i < count; i++) bitmap_clear(bitmap(), slots[i]);
  mh->live = (uint16_t)(SLOTS - count);
}

static size_t slot_of(const void *p) {
  size_t offset = (size_t)((const char *)p - span);
  assert_true(offset < PAGE_SIZE && offset % SLOT_SIZE == 0);
  return offset / SLOT_SIZE;
}

TEST(a_fresh_head_is_free_and_alone) {
  init_span();
  assert_int_equal(miniheap_class(mh)->slots, SLOTS);
  assert_int_equal(mh->live, 0);
  assert_int_equal(bitmap_count(bitmap(), SLOTS), 0);
  assert_int_equal(mh->offset, 0);
  assert_int_equal(mh->bin, BIN_NONE);
  assert_int_equal(mh->leader, PAGE_NUMBER);
  assert_int_equal(mh->group_next, PAGE_NUMBER);
  miniheap_assert_state(mh);
}

TEST(takes_exactly_the_free_slots) {
  bool live[SLOTS] = {false};
  size_t live_count = 0;
  Rng rng;
  rng_seed(&rng, 1);
  init_span();
  for (int round = 0; round < 500; round++) {
    void *out[SLOTS];
    size_t room = 1 + rng_below(&rng, SLOTS);
    size_t taken = miniheap_take(mh, span, out, room, &rng);
    assert_int_equal(taken, min_size(room, SLOTS - live_count));
    for (size_t i = 0; i < taken; i++) {
      assert_false(live[slot_of(out[i])]);
      live[slot_of(out[i])] = true;
    }
    live_count += taken;
    for (size_t i = 0; i < SLOTS; i++) assert_int_equal(bitmap_get(bitmap(), i), live[i]);
    assert_int_equal(mh->live, live_count);
    miniheap_assert_state(mh);
    for (size_t i = 0; i < SLOTS; i++)
      if (live[i] && rng_below(&rng, 2) == 0) {
        live[i] = false;
        live_count--;
        bitmap_clear(bitmap(), i);
        mh->live--;
      }
  }
}

/* Free slots on both sides of a word's end. */
static const size_t scattered[] = {0, 63, 64, 100, 127};
enum { FREE = COUNT(scattered), DRAWS = 100 };

static size_t position_in_scattered(const void *p) {
  size_t i = 0;
  while (scattered[i] != slot_of(p)) i++;
  return i;
}

/* Takes `room` of the scattered slots again and again. Each choice of slots must be equally likely, and each
 * of its slots as likely to be the first to be popped; the others follow in the order of their addresses. */
static void check_choices(size_t room, size_t choices, uint64_t seed) {
  unsigned counts[1 << FREE][FREE] = {{0}}, used[(1 << FREE) * FREE];
  Rng rng;
  rng_seed(&rng, seed);
  for (size_t round = 0; round < DRAWS * choices; round++) {
    void *out[FREE];
    size_t taken = min_size(room, FREE), set = 0, falls = 0;
    leave_free(scattered, FREE);
    assert_int_equal(miniheap_take(mh, span, out, room, &rng), taken);
    for (size_t i = 0; i < taken; i++) {
      set |= (size_t)1 << position_in_scattered(out[i]);
      falls += out[i] < out[(i + 1) % taken];
    }
    assert_true(taken == 1 || falls == 1);
    counts[set][position_in_scattered(out[taken - 1])]++;
  }
  size_t cells = 0;
  for (size_t set = 0; set < COUNT(counts); set++)
    for (size_t first = 0; first < FREE; first++)
      if (counts[set][first] > 0) used[cells++] = counts[set][first];
  assert_int_equal(cells, choices);
  assert_true(looks_uniform(used, cells));
}

TEST(one_slot_is_any_slot) { check_choices(1, 5, 2); }
TEST(partial_takes_are_uniform_subsets_from_a_uniform_start) {
  check_choices(2, 10 * 2, 3);
  check_choices(3, 10 * 3, 4);
}
TEST(full_takes_have_a_uniform_start) { check_choices(SLOTS, 5, 5); }

TEST(every_slot_of_a_fresh_span_is_in_every_place_equally_often) {
  static unsigned counts[SLOTS][SLOTS];
  Rng rng;
  rng_seed(&rng, 6);
  for (int round = 0; round < DRAWS * SLOTS; round++) {
    void *out[SLOTS];
    init_span();
    miniheap_take(mh, span, out, SLOTS, &rng);
    for (size_t place = 0; place < SLOTS; place++) counts[place][slot_of(out[place])]++;
  }
  for (size_t place = 0; place < SLOTS; place++) assert_true(looks_uniform(counts[place], SLOTS));
}

/* One object in so many lives on, in step with the order of allocation: where each span kept its slots in the
 * same order all would have the same slots live, and none would mesh. */
TEST(regular_deaths_leave_disjoint_spans) {
  enum { SPANS = 64, KEPT_OF = 4 };
  uint64_t live[SPANS][2] = {{0}};
  Rng rng;
  rng_seed(&rng, 7);
  for (size_t i = 0; i < SPANS; i++) {
    void *out[SLOTS];
    init_span();
    miniheap_take(mh, span, out, SLOTS, &rng);
    for (size_t place = 0; place < SLOTS; place += KEPT_OF) bitmap_set(live[i], slot_of(out[place]));
  }
  size_t pairs = 0;
  for (size_t a = 0; a < SPANS; a++)
    for (size_t b = 0; b < a; b++) pairs += (live[a][0] & live[b][0]) == 0 && (live[a][1] & live[b][1]) == 0;
  assert_true(pairs > SPANS * (SPANS - 1) / 2 * (KEPT_OF - 1) / KEPT_OF * 9 / 10);
}

TEST(bins_rise_with_occupancy) {
  init_span();
  uint8_t last = 0;
  for (uint16_t live = 1; live < SLOTS; live++) {
    mh->live = live;
    assert_true(miniheap_bin(mh) >= last && miniheap_bin(mh) < OCCUPANCY_BINS);
    last = miniheap_bin(mh);
  }
  assert_int_equal(last, OCCUPANCY_BINS - 1);
  mh->live = SLOTS;
  assert_int_equal(miniheap_bin(mh), BIN_NONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_fresh_head_is_free_and_alone),
      cmocka_unit_test(takes_exactly_the_free_slots),
      cmocka_unit_test(one_slot_is_any_slot),
      cmocka_unit_test(partial_takes_are_uniform_subsets_from_a_uniform_start),
      cmocka_unit_test(full_takes_have_a_uniform_start),
      cmocka_unit_test(every_slot_of_a_fresh_span_is_in_every_place_equally_often),
      cmocka_unit_test(regular_deaths_leave_disjoint_spans),
      cmocka_unit_test(bins_rise_with_occupancy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
