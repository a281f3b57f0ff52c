#include "bits.h"
#include "magazine.h"
#include "unit.h"

TEST(capacities_double_to_the_largest) {
  size_t capacity = MAGAZINE_MIN;
  while (capacity < MAGAZINE_MAX) {
    assert_true(is_power_of_two(magazine_bytes(capacity)));
    assert_int_equal(magazine_bytes(magazine_next_capacity(capacity)), 2 * magazine_bytes(capacity));
    capacity = magazine_next_capacity(capacity);
  }
  assert_int_equal(capacity, MAGAZINE_MAX);
}

TEST(a_new_magazine_is_empty_and_has_room) {
  for (uint32_t capacity = 2; capacity <= MAGAZINE_MAX; capacity++) {
    Magazine *m = magazine_new(capacity);
    assert_non_null(m);
    assert_null(m->next);
    assert_int_equal(m->count, 0);
    assert_int_equal(m->capacity, capacity);
    assert_true((char *)(m->slots + capacity) <= (char *)m + magazine_bytes(capacity));
    for (uint32_t i = 0; i < capacity; i++) m->slots[i] = m;
    magazine_delete(m);
  }
}

TEST(a_deleted_magazine_is_used_again) {
  Magazine *m = magazine_new(MAGAZINE_MAX);
  magazine_delete(m);
  assert_ptr_equal(magazine_new(MAGAZINE_MAX), m);
  magazine_delete(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(capacities_double_to_the_largest),
      cmocka_unit_test(a_new_magazine_is_empty_and_has_room),
      cmocka_unit_test(a_deleted_magazine_is_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
