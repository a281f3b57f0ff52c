#include "chi_square.h"
#include "global_heap.h"
#include "init.h"
#include "shuffle_vector.h"
#include "unit.h"

enum { CAPACITY = MAGAZINE_MIN };

static char slots[CAPACITY]; /* addresses to hold; nothing looks behind them */

TEST(an_unused_vector_takes_every_slow_path) {
  ShuffleVector v = {.limit = NULL};
  assert_null(shuffle_vector_pop(&v));
  assert_false(shuffle_vector_push(&v, slots));
  assert_int_equal(shuffle_vector_count(&v), 0);
  assert_null(shuffle_vector_magazine(&v));
  assert_null(shuffle_vector_unload(&v));
}

TEST(pushes_up_to_the_limit_and_pops_the_last_first) {
  ShuffleVector v = {.limit = NULL};
  Magazine *m = magazine_new(CAPACITY);
  shuffle_vector_load(&v, m);
  assert_null(shuffle_vector_pop(&v));
  for (size_t i = 0; i < CAPACITY; i++) {
    assert_int_equal(shuffle_vector_count(&v), i);
    assert_true(shuffle_vector_push(&v, &slots[i]));
  }
  assert_false(shuffle_vector_push(&v, &slots[0]));
  assert_int_equal(shuffle_vector_count(&v), CAPACITY);
  for (size_t i = CAPACITY; i-- > 0;) assert_ptr_equal(shuffle_vector_pop(&v), &slots[i]);
  assert_null(shuffle_vector_pop(&v));
  magazine_delete(shuffle_vector_unload(&v));
}

TEST(a_magazine_leaves_with_what_it_holds) {
  ShuffleVector v = {.limit = NULL}, w = {.limit = NULL};
  Magazine *m = magazine_new(CAPACITY);
  shuffle_vector_load(&v, m);
  for (size_t i = 0; i < 10; i++) shuffle_vector_push(&v, &slots[i]);
  assert_ptr_equal(shuffle_vector_pop(&v), &slots[9]);
  assert_ptr_equal(shuffle_vector_magazine(&v), m);
  assert_ptr_equal(shuffle_vector_unload(&v), m);
  assert_int_equal(m->count, 9);
  assert_null(shuffle_vector_pop(&v));
  assert_false(shuffle_vector_push(&v, &slots[0]));

  shuffle_vector_load(&w, m);
  for (size_t i = 9; i-- > 0;) assert_ptr_equal(shuffle_vector_pop(&w), &slots[i]);
  magazine_delete(shuffle_vector_unload(&w));
}

/* Which slot a program gets first after a refill must not depend on where it lies in its span. */
TEST(refilled_slots_are_placed_uniformly) {
  enum { SIZE = 256, ROUNDS = 6400 };
  const unsigned c = size_class_of(SIZE);
  const uint32_t span_slots = size_classes[c].slots, capacity = size_classes[c].capacity;
  unsigned first[256] = {0}, last[256] = {0};
  assert_true(span_slots <= COUNT(first) && span_slots <= capacity);
  Magazine *m = magazine_new(capacity);
  Rng rng;
  rng_seed(&rng, 7);
  for (int round = 0; round < ROUNDS; round++) {
    void *popped[256];
    ShuffleVector v = {.limit = NULL};
    m->count = (uint32_t)global_heap_refill(c, m->slots, 1, span_slots, &rng);
    assert_int_equal(m->count, span_slots);
    shuffle_vector_load(&v, m);
    for (size_t i = 0; i < span_slots; i++) popped[i] = shuffle_vector_pop(&v);
    shuffle_vector_unload(&v);
    char *base = page_address(span_head(popped[0]));
    first[(size_t)((char *)popped[0] - base) / SIZE]++;
    last[(size_t)((char *)popped[span_slots - 1] - base) / SIZE]++;
    global_heap_drain(c, popped, span_slots);
  }
  assert_true(looks_uniform(first, span_slots));
  assert_true(looks_uniform(last, span_slots));
  magazine_delete(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_unused_vector_takes_every_slow_path),
      cmocka_unit_test(pushes_up_to_the_limit_and_pops_the_last_first),
      cmocka_unit_test(a_magazine_leaves_with_what_it_holds),
      cmocka_unit_test(refilled_slots_are_placed_uniformly),
  };
  return init_once() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
