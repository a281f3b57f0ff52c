#include "magazine.h"
#include "miniheap.h"
#include "size_class.h"
#include "unit.h"

static const size_t page_sizes[] = {4 * KIB, 16 * KIB, 64 * KIB};

#define FOR_EACH_PAGE_SIZE(page_size) \
  for (size_t i_ = 0, page_size;      \
       i_ < COUNT(page_sizes) && (size_classes_init(page_size = page_sizes[i_]), true); i_++)

TEST(every_size_has_the_smallest_class_that_holds_it) {
  FOR_EACH_PAGE_SIZE(page_size) {
    for (size_t size = 0; size <= SMALL_MAX; size++) {
      unsigned c = size_class_of(size);
      assert_true(c >= CLASS_FIRST && c < CLASS_PINNED_FIRST);
      assert_true(size_classes[c].size >= size);
      assert_true(c == CLASS_FIRST || size_classes[c - 1].size < size);
    }
  }
}

TEST(slots_are_multiples_of_the_promised_alignment) {
  FOR_EACH_PAGE_SIZE(page_size)
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) assert_int_equal(size_classes[c].size % MIN_ALIGN, 0);
}

static size_t span_waste(size_t pages, size_t page_size, size_t size) { return pages * page_size % size; }

TEST(spans_are_as_short_as_a_waste_of_a_sixteenth_allows) {
  FOR_EACH_PAGE_SIZE(page_size) {
    for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
      const SizeClass *sc = &size_classes[c];
      size_t bytes = sc->span_pages * page_size;
      assert_int_equal(sc->slots, bytes / sc->size);
      assert_true(sc->slots > 0 && sc->slots <= UINT16_MAX);
      assert_true(span_waste(sc->span_pages, page_size, sc->size) <= bytes / 16);
      for (size_t pages = 1; pages < sc->span_pages; pages++) {
        bool too_short = pages * page_size < sc->size;
        assert_true(too_short || span_waste(pages, page_size, sc->size) > pages * page_size / 16);
      }
    }
  }
}

TEST(a_miniheap_can_say_how_many_pages_of_its_span_were_purged) {
  FOR_EACH_PAGE_SIZE(page_size)
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    MiniHeap mh = {.trimmed = size_classes[c].span_pages};
    assert_int_equal(mh.trimmed, size_classes[c].span_pages);
  }
}

TEST(rounding_loses_an_eighth_on_average_at_most) {
  double lost = 0;
  size_classes_init(4096);
  for (size_t size = 16; size <= 16384; size++) {
    double slot = size_classes[size_class_of(size)].size;
    lost += (slot - (double)size) / slot;
  }
  assert_true(lost / (16384 - 16 + 1) <= 0.125);
}

TEST(slot_index_is_exact_for_every_offset_of_a_span) {
  FOR_EACH_PAGE_SIZE(page_size) {
    for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
      const SizeClass *sc = &size_classes[c];
      size_t wrong = 0;
      for (size_t offset = 0; offset < sc->span_pages * page_size; offset++)
        wrong += slot_index(sc, offset) != offset / sc->size;
      assert_int_equal(wrong, 0);
    }
  }
}

static bool holds_aligned(unsigned c, size_t align, size_t size) {
  return size_classes[c].size >= size && size_classes[c].size % align == 0;
}

/* By trying all classes of the right kind. */
static unsigned smallest_aligned(size_t align, size_t size) {
  if (align > SMALL_MAX || size > SMALL_MAX) return CLASS_NONE;
  unsigned c = align >= PINNED_ALIGN ? CLASS_PINNED_FIRST : CLASS_FIRST;
  while (!holds_aligned(c, align, size)) c++;
  return c;
}

TEST(aligned_sizes_have_the_smallest_class_that_keeps_the_alignment) {
  FOR_EACH_PAGE_SIZE(page_size) {
    for (size_t align = MIN_ALIGN; align <= 4 * SMALL_MAX; align *= 2) {
      size_t wrong = 0;
      for (size_t size = 0; size <= SMALL_MAX + 1; size++)
        wrong += size_class_aligned(align, size) != smallest_aligned(align, size);
      assert_int_equal(wrong, 0);
      assert_int_equal(size_class_aligned(align, SIZE_MAX), CLASS_NONE);
    }
  }
}

TEST(devices_get_classes_of_their_own) {
  size_classes_init(4096);
  for (size_t size = 1; size <= SMALL_MAX; size++) {
    assert_false(class_is_pinned(size_class_of(size)));
    assert_false(class_is_pinned(size_class_aligned(PINNED_ALIGN / 2, size)));
    assert_true(class_is_pinned(size_class_aligned(PINNED_ALIGN, size)));
  }
}

TEST(magazines_are_bounded_in_bytes_and_slots) {
  size_classes_init(4096);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    const SizeClass *sc = &size_classes[c];
    assert_in_range(sc->capacity, 2, MAGAZINE_MAX);
    /* The next step up from too few may hold twice what is wanted. */
    assert_true(sc->capacity == 2 || sc->capacity * (size_t)sc->size <= 2 * MAGAZINE_BYTES + 2 * sc->size);
    assert_true(is_power_of_two(magazine_bytes(sc->capacity)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
      cmocka_unit_test(slots_are_multiples_of_the_promised_alignment),
      cmocka_unit_test(spans_are_as_short_as_a_waste_of_a_sixteenth_allows),
      cmocka_unit_test(a_miniheap_can_say_how_many_pages_of_its_span_were_purged),
      cmocka_unit_test(rounding_loses_an_eighth_on_average_at_most),
      cmocka_unit_test(slot_index_is_exact_for_every_offset_of_a_span),
      cmocka_unit_test(aligned_sizes_have_the_smallest_class_that_keeps_the_alignment),
      cmocka_unit_test(devices_get_classes_of_their_own),
      cmocka_unit_test(magazines_are_bounded_in_bytes_and_slots),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
