/* Counting and listing the rows of a class, on a heap of many spans of one class with free pages among them. */
#include "mesh_rows.h"

#include <stdlib.h>
#include <string.h>

#include "fake_os.h"
#include "heap_api.h"
#include "mesh_apply.h"
#include "mesh_group.h"
#include "mesh_pass.h"
#include "options.h"
#include "unit.h"

enum { OBJECTS = 60000, SIZE = 256, KEEP_ONE_IN = 10 };

static char *object[OBJECTS];
static unsigned c; /* class of the objects */

static void fill_and_thin(uint64_t seed) {
  Rng rng;
  rng_seed(&rng, seed);
  for (size_t i = 0; i < OBJECTS; i++)
    if (object[i] == NULL) object[i] = mesh_malloc(SIZE);
  c = class_at(object[0]);
  for (size_t i = 0; i < OBJECTS; i++) {
    if (rng_below(&rng, KEEP_ONE_IN) == 0) continue;
    mesh_free(object[i]);
    object[i] = NULL;
  }
}

static void free_all(void) {
  for (size_t i = 0; i < OBJECTS; i++) {
    mesh_free(object[i]);
    object[i] = NULL;
  }
}

static MeshRows count(void) {
  MeshRows r;
  mesh_rows_begin_count(&r, c, true);
  while (mesh_rows_count_some(&r)) continue;
  return r;
}

/* The caller frees r->page. */
static void list(MeshRows *r, uint32_t run, size_t max) {
  mesh_rows_begin_list(r, run, max, calloc(1, mesh_rows_memory(r, run, max)));
  while (mesh_rows_list_some(r)) continue;
}

/* Its groups' next members are neighbours as the spans are. */
static bool bound_together(uint32_t page, uint32_t next) {
  return mesh_candidate(page, c) && mesh_candidate(next, c) && has_members(page) && has_members(next) &&
         miniheap_of(next)->group_next == miniheap_of(page)->group_next + (next - page);
}

static void check_row(const MeshRows *r, size_t i) {
  const SizeClass *sc = &size_classes[c];
  uint64_t *expected = calloc(r->words, sizeof *expected);
  uint32_t page = r->page[i], spans = 0;
  assert_false(bound_together(page - sc->span_pages, page));
  for (uint32_t k = 0; k < r->run; k++, page += sc->span_pages) {
    if (mesh_candidate(page, c)) {
      bitmap_append(expected, k * sc->slots, miniheap_bitmap(miniheap_of(page), sc), sc->slots);
      spans++;
    } else {
      assert_true(mesh_fillable(page, c));
    }
  }
  assert_false(bound_together(page - sc->span_pages, page));
  assert_true(2 * spans >= r->run);
  assert_memory_equal(r->bits + i * r->words, expected, r->words * sizeof *expected);
  free(expected);
}

static void check_list(MeshRows *r, uint32_t run, size_t max) {
  list(r, run, max);
  assert_true(r->count <= max);
  for (size_t i = 0; i < r->count; i++) {
    check_row(r, i);
    assert_true(i == 0 || r->page[i] >= r->page[i - 1] + run * size_classes[c].span_pages);
  }
  free(r->page);
}

TEST(counts_what_stands_for_itself) {
  options.period_ms = 0;
  fill_and_thin(1);
  size_t spans = 0, live = 0;
  for (uint32_t page = 1; page < arena.frontier; page++) {
    if (!mesh_candidate(page, c)) continue;
    spans++;
    live += miniheap_of(page)->live;
  }
  lock_acquire(mesh_lock());
  MeshRows r = count();
  assert_int_equal(r.lone.spans, spans);
  assert_int_equal(r.lone.live, live);
  assert_int_equal(r.bound.spans, 0);
  assert_true(spans > 1000 && r.lone.fillers > 0 && r.lone.holes <= r.lone.fillers);
  for (unsigned i = 1; i < RUN_LENGTHS; i++) assert_true(r.lone.rows_of[i] <= (spans + r.lone.fillers) >> i);
  for (uint32_t run = 1; run <= MESH_RUN_SPANS; run *= 2) check_list(&r, run, spans);
  check_list(&r, 2, 3);
  assert_int_equal(r.count, 3);
  lock_release(mesh_lock());
  free_all();
}

TEST(does_not_cut_what_is_bound) {
  options.period_ms = 100;
  options.max_maps = 700; /* too few for rows of one */
  fill_and_thin(2);
  mesh_pass_all();
  fill_and_thin(3);
  lock_acquire(mesh_lock());
  MeshRows r = count();
  size_t longer = 0;
  for (uint32_t page = 2; page < arena.frontier; page++) longer += bound_together(page - 1, page);
  if (mesh_pages_released == 0) {
    lock_release(mesh_lock());
    skip();
  }
  assert_true(r.bound.spans > 0 && longer > 0);
  for (uint32_t run = 1; run <= MESH_RUN_SPANS; run *= 2) check_list(&r, run, r.lone.spans + r.bound.spans);
  lock_release(mesh_lock());
  free_all();
}

/* Each piece holds the class lock, and a thread may wait for it. */
TEST(a_piece_purges_no_more_than_some_pages) {
  enum { LONG_OBJECTS = 8000, LONG_SIZE = 1700, PURGES = 64 };
  static void *long_object[LONG_OBJECTS];
  Rng rng;
  options.period_ms = 0;
  rng_seed(&rng, 4);
  for (size_t i = 0; i < LONG_OBJECTS; i++) long_object[i] = mesh_malloc(LONG_SIZE);
  c = class_at(long_object[0]);
  const uint32_t span_pages = size_classes[c].span_pages;
  for (size_t i = 0; i < LONG_OBJECTS; i++) {
    if (rng_below(&rng, 10) < 3) continue;
    mesh_free(long_object[i]);
    long_object[i] = NULL;
  }
  mesh_trim();
  lock_acquire(mesh_lock());
  MeshRows r;
  mesh_rows_begin_count(&r, c, true);
  const unsigned before = fake_os.calls[PURGE_CALL];
  unsigned last = before, most = 0;
  for (bool more = true; more; last = fake_os.calls[PURGE_CALL]) {
    more = mesh_rows_count_some(&r);
    most = (unsigned)max_size(most, fake_os.calls[PURGE_CALL] - last);
  }
  lock_release(mesh_lock());
  assert_true(most <= PURGES + span_pages);
  if (span_pages > 1) assert_true(last - before > 4 * PURGES && r.trimmed >= last - before);
  for (size_t i = 0; i < LONG_OBJECTS; i++) mesh_free(long_object[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_piece_purges_no_more_than_some_pages),
      cmocka_unit_test(counts_what_stands_for_itself),
      cmocka_unit_test(does_not_cut_what_is_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
