#include <stdlib.h>

#include "child.h"
#include "global_heap.h"
#include "init.h"
#include "os.h"
#include "span_trim.h"
#include "unit.h"

enum { MANY = 2000 };

static Rng rng;

/* Up to `count` slots, by as many refills as it takes. */
static void refill_all(unsigned c, void **out, size_t count) {
  for (size_t n = 0; n < count;) {
    size_t got = global_heap_refill(c, out + n, count - n, count - n, &rng);
    assert_in_range(got, 1, count - n);
    n += got;
  }
}

static int by_address(const void *a, const void *b) {
  uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
  return (x > y) - (x < y);
}

static void assert_distinct(void *const *slots, size_t count, size_t size) {
  static void *sorted[MANY];
  assert_true(count <= MANY);
  for (size_t i = 0; i < count; i++) sorted[i] = slots[i];
  qsort(sorted, count, sizeof *sorted, by_address);
  for (size_t i = 1; i < count; i++)
    assert_true((char *)sorted[i] - (char *)sorted[i - 1] >= (ptrdiff_t)size);
}

static bool is_live(unsigned c, const void *slot) {
  uint32_t head = span_head(slot);
  size_t offset = (size_t)((const char *)slot - page_address(head));
  assert_int_equal(offset % size_classes[c].size, 0);
  uint32_t i = slot_index(&size_classes[c], offset);
  assert_true(i < size_classes[c].slots);
  return bitmap_get(miniheap_bitmap(miniheap_of(head), miniheap_class(miniheap_of(head))), i);
}

TEST(refills_give_distinct_live_slots_of_the_class) {
  static void *slots[MANY];
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    size_t count = min_size(MANY, MIB / size_classes[c].size);
    refill_all(c, slots, count);
    assert_distinct(slots, count, size_classes[c].size);
    for (size_t i = 0; i < count; i++) {
      assert_int_equal(class_at(slots[i]), c);
      assert_true(is_live(c, slots[i]));
    }
    assert_int_equal(class_heaps[c].live, count);
    arena_assert_state();
    global_heap_drain(c, slots, count);
  }
}

TEST(slots_have_the_alignment_of_their_size) {
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    void *slots[8];
    size_t size = size_classes[c].size, align = size & -size; /* the largest power of two in it */
    if (!class_is_pinned(c)) align = min_size(align, PINNED_ALIGN / 2);
    refill_all(c, slots, COUNT(slots));
    for (size_t i = 0; i < COUNT(slots); i++) assert_int_equal((uintptr_t)slots[i] % align, 0);
    global_heap_drain(c, slots, COUNT(slots));
  }
}

TEST(drains_restore_what_was_before) {
  static void *slots[MANY];
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    size_t count = min_size(MANY, MIB / size_classes[c].size);
    refill_all(c, slots, count);
    for (size_t i = count; i-- > 1;) { /* in no order, in uneven batches */
      size_t j = rng_below(&rng, (uint32_t)i + 1);
      void *slot = slots[i];
      slots[i] = slots[j];
      slots[j] = slot;
    }
    for (size_t n = 0; n < count;) {
      size_t batch = min_size(count - n, 1 + rng_below(&rng, 100));
      global_heap_drain(c, slots + n, batch);
      n += batch;
    }
    assert_int_equal(class_heaps[c].live, 0);
  }
  global_heap_free_fresh();
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    assert_int_equal(class_heaps[c].spans, 0);
    assert_int_equal(class_heaps[c].span_allocs, class_heaps[c].span_frees);
  }
  assert_int_equal(load_relaxed(&arena.used_pages), 0);
  arena_assert_state();
}

TEST(refills_come_from_the_fullest_span) {
  enum { SIZE = 512 };
  const unsigned c = size_class_of(SIZE);
  const size_t per_span = size_classes[c].slots;
  void *slots[MANY], *refilled[2];
  refill_all(c, slots, 2 * per_span);
  /* Two spans: leave the first slot's span all but one, the other one all but three. */
  uint32_t fuller = span_head(slots[0]);
  size_t from_fuller = 0, from_other = 0, kept = 0;
  for (size_t i = 0; i < 2 * per_span; i++) {
    bool in_fuller = span_head(slots[i]) == fuller;
    if (in_fuller ? from_fuller < 1 : from_other < 3) {
      global_heap_drain(c, &slots[i], 1);
      *(in_fuller ? &from_fuller : &from_other) += 1;
    } else {
      slots[kept++] = slots[i];
    }
  }
  assert_int_equal(from_fuller + from_other, 4);
  assert_int_equal(global_heap_refill(c, refilled, 1, 2, &rng), 1);
  assert_int_equal(span_head(refilled[0]), fuller);
  global_heap_drain(c, refilled, 1);
  global_heap_drain(c, slots, kept);
}

/* Two full spans, a slot of each drained by a thread of another shard. */
TEST(refills_come_from_spans_of_the_own_shard_first) {
  const unsigned c = size_class_of(1024);
  const uint32_t slots = size_classes[c].slots;
  static void *all[MANY];
  refill_all(c, all, 2 * slots);
  assert_int_not_equal(span_head(all[0]), span_head(all[slots]));
  for (unsigned i = 0; i < 2; i++) {
    thread_shard = 2 + i;
    global_heap_drain(c, &all[i * slots], 1);
  }
  for (unsigned i = 2; i-- > 0;) {
    thread_shard = 2 + i;
    void *slot;
    assert_int_equal(global_heap_refill(c, &slot, 1, 1, &rng), 1);
    assert_ptr_equal(slot, all[i * slots]);
  }
  for (unsigned i = 0; i < 2; i++) {
    thread_shard = 2 + i;
    global_heap_drain(c, &all[i * slots], 1);
  }
  thread_shard = 0; /* has none of its own */
  void *both[2];
  refill_all(c, both, 2);
  assert_true((both[0] == all[0] && both[1] == all[slots]) || (both[1] == all[0] && both[0] == all[slots]));
  global_heap_drain(c, all, 2 * slots);
}

TEST(a_refill_stops_once_it_has_enough) {
  enum { SIZE = 64 };
  const unsigned c = size_class_of(SIZE);
  const size_t per_span = size_classes[c].slots;
  void *slots[MANY];
  size_t n = global_heap_refill(c, slots, 1, MANY, &rng);
  assert_int_equal(n, per_span);
  global_heap_drain(c, slots, n);
  /* A class of which little is live gets little, whatever is asked for ... */
  n = global_heap_refill(c, slots, per_span + 1, per_span + 5, &rng);
  assert_int_equal(n, per_span);
  global_heap_drain(c, slots, n);
  /* ... but no less than the smallest refill, over as many spans as that takes. */
  n = global_heap_refill(c, slots, REFILL_MIN, REFILL_MIN, &rng);
  assert_int_equal(n, REFILL_MIN);
  global_heap_drain(c, slots, n);
}

/* ---------------------------------------------------------------------------------------- misuse */

typedef struct Misuse {
  unsigned size_class;
  void *slots[3];
} Misuse;

static void drain_together(void *argument) {
  Misuse *m = argument;
  global_heap_drain(m->size_class, m->slots, COUNT(m->slots));
}

static void drain_one_by_one(void *argument) {
  Misuse *m = argument;
  for (size_t i = 0; i < COUNT(m->slots); i++) global_heap_drain(m->size_class, &m->slots[i], 1);
}

TEST(double_frees_are_reported) {
  static const size_t sizes[] = {16, 48, 1024, 10240, SMALL_MAX};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    Misuse m = {.size_class = size_class_of(sizes[i])};
    void *slots[3];
    refill_all(m.size_class, slots, COUNT(slots));
    m.slots[0] = m.slots[2] = slots[0];
    m.slots[1] = slots[1];
    assert_child_aborts(drain_together, &m, "double free of", slots[0]);
    assert_child_aborts(drain_one_by_one, &m, "double free of", slots[0]);
    global_heap_drain(m.size_class, slots, COUNT(slots));
  }
}

TEST(pointers_to_no_slot_are_reported) {
  static const size_t sizes[] = {16, 48, 1024, 10240, SMALL_MAX};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    Misuse m = {.size_class = size_class_of(sizes[i])};
    void *slots[3];
    refill_all(m.size_class, slots, COUNT(slots));
    for (size_t j = 0; j < COUNT(slots); j++) m.slots[j] = slots[j];
    m.slots[1] = (char *)slots[1] + sizes[i] / 2;
    assert_child_aborts(drain_together, &m, "invalid free of", m.slots[1]);
    m.slots[1] = (char *)slots[1] + 1;
    assert_child_aborts(drain_one_by_one, &m, "invalid free of", m.slots[1]);
    global_heap_drain(m.size_class, slots, COUNT(slots));
  }
}

TEST(the_end_of_a_span_is_no_slot) {
  Misuse m = {.size_class = size_class_of(48)};
  const SizeClass *sc = &size_classes[m.size_class];
  void *slots[3];
  refill_all(m.size_class, slots, COUNT(slots));
  assert_true(sc->slots * (size_t)sc->size < pages_to_bytes(sc->span_pages));
  for (size_t i = 0; i < COUNT(slots); i++)
    m.slots[i] = page_address(span_head(slots[0])) + sc->slots * (size_t)sc->size;
  assert_child_aborts(drain_together, &m, "invalid free of", m.slots[0]);
  global_heap_drain(m.size_class, slots, COUNT(slots));
}

/* ----------------------------------------------------------------------------------------- depot */

static Magazine *full_magazine(unsigned c) {
  Magazine *m = magazine_new(size_classes[c].capacity);
  assert_non_null(m);
  refill_all(c, m->slots, m->capacity);
  m->count = m->capacity;
  return m;
}

TEST(the_depot_exchanges_magazines_whole) {
  const unsigned c = size_class_of(256);
  assert_null(depot_take(c, NULL));
  Magazine *full = full_magazine(c);
  void *first = full->slots[0];
  uint32_t count = full->count;
  Magazine *empty = depot_put_full(c, full);
  assert_non_null(empty);
  assert_ptr_not_equal(empty, full);
  assert_int_equal(empty->count, 0);
  assert_int_equal(empty->capacity, size_classes[c].capacity);
  assert_int_equal(depot_cached(c), count);
  assert_int_equal(class_heaps[c].live, count);

  assert_ptr_equal(depot_take(c, empty), full);
  assert_int_equal(full->count, count);
  assert_ptr_equal(full->slots[0], first);
  assert_int_equal(depot_cached(c), 0);
  assert_null(depot_take(c, NULL));

  Magazine *vacant = depot_put_full(c, full);
  assert_ptr_equal(vacant, empty); /* handed in a moment ago */
  magazine_delete(vacant);
  depot_drain_all();
  assert_int_equal(class_heaps[c].live, 0);
  assert_int_equal(depot_cached(c), 0);
  assert_null(depot_take(c, NULL));
}

TEST(a_shard_takes_its_own_magazines_first) {
  const unsigned c = size_class_of(256);
  Magazine *full[2] = {full_magazine(c), full_magazine(c)};
  for (unsigned i = 0; i < 2; i++) {
    thread_shard = 1 + i;
    magazine_delete(depot_put_full(c, full[i]));
  }
  thread_shard = 1;
  assert_ptr_equal(depot_take(c, NULL), full[0]);
  assert_ptr_equal(depot_take(c, NULL), full[1]);
  assert_null(depot_take(c, NULL));
  for (unsigned i = 0; i < 2; i++) {
    global_heap_drain(c, full[i]->slots, full[i]->count);
    magazine_delete(full[i]);
  }
  thread_shard = 0;
}

static size_t cached_bytes(void) {
  size_t bytes = 0;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) bytes += depot_cached(c) * size_classes[c].size;
  return bytes;
}

TEST(the_depot_is_bounded_over_all_classes) {
  for (int round = 0; round < 20; round++)
    for (unsigned c = size_class_of(1024); c < CLASS_PINNED_FIRST; c += 4) {
      Magazine *m = full_magazine(c);
      Magazine *empty = depot_put_full(c, m);
      assert_non_null(empty);
      assert_int_equal(empty->count, 0);
      magazine_delete(empty);
      assert_true(cached_bytes() <= max_size(DEPOT_KEEP_MIN, arena_used_bytes() / DEPOT_SHARE));
    }
  assert_true(cached_bytes() > 0);
  depot_drain_all();
  assert_int_equal(cached_bytes(), 0);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) assert_int_equal(class_heaps[c].live, 0);
  arena_assert_state();
}

static int init(void **unused) {
  (void)unused;
  rng_seed(&rng, 1);
  return init_once() ? 0 : -1;
}

static int nothing_live(void **unused) {
  (void)unused;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++)
    if (class_heaps[c].live != 0) return -1;
  return 0;
}

/* ---- Trimming ---- */

/* Drains all slots but the first one of a span; returns the span's page. */
static uint32_t leave_first_slot(unsigned c, void **slots, size_t count) {
  const uint32_t head = span_head(slots[0]);
  size_t rest = 0;
  for (size_t i = 0; i < count; i++)
    if (slots[i] != page_address(head)) slots[rest++] = slots[i];
  assert_int_equal(rest, count - 1);
  global_heap_drain(c, slots, rest);
  return head;
}

/* The last page too, at whose end no slot is. */
TEST(all_pages_without_a_live_slot_are_trimmed) {
  void *slots[MANY];
  for (unsigned c = CLASS_FIRST; c < CLASS_PINNED_FIRST; c++) {
    const SizeClass *sc = &size_classes[c];
    if (sc->span_pages == 1) continue;
    refill_all(c, slots, sc->slots);
    const uint32_t head = leave_first_slot(c, slots, sc->slots);
    lock_acquire(&class_heaps[c].lock);
    span_trim(&class_heaps[c], head);
    lock_release(&class_heaps[c].lock);
    assert_int_equal(miniheap_of(head)->trimmed, sc->span_pages - bytes_to_pages(sc->size));
    void *first = page_address(head);
    global_heap_drain(c, &first, 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(refills_give_distinct_live_slots_of_the_class, nothing_live),
      cmocka_unit_test_teardown(slots_have_the_alignment_of_their_size, nothing_live),
      cmocka_unit_test_teardown(drains_restore_what_was_before, nothing_live),
      cmocka_unit_test_teardown(refills_come_from_the_fullest_span, nothing_live),
      cmocka_unit_test_teardown(refills_come_from_spans_of_the_own_shard_first, nothing_live),
      cmocka_unit_test_teardown(a_refill_stops_once_it_has_enough, nothing_live),
      cmocka_unit_test_teardown(double_frees_are_reported, nothing_live),
      cmocka_unit_test_teardown(pointers_to_no_slot_are_reported, nothing_live),
      cmocka_unit_test_teardown(the_end_of_a_span_is_no_slot, nothing_live),
      cmocka_unit_test_teardown(the_depot_exchanges_magazines_whole, nothing_live),
      cmocka_unit_test_teardown(a_shard_takes_its_own_magazines_first, nothing_live),
      cmocka_unit_test_teardown(the_depot_is_bounded_over_all_classes, nothing_live),
      cmocka_unit_test_teardown(all_pages_without_a_live_slot_are_trimmed, nothing_live),
  };
  return cmocka_run_group_tests(tests, init, NULL);
}
