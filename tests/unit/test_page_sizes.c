/* The whole allocator on kernels of larger pages, which a smaller page's kernel can play. */
#include "arena.h"
#include "child.h"
#include "fake_os.h"
#include "heap_api.h"
#include "stats.h"
#include "unit.h"
#include "workload.h"

static void live_on_pages_of(void *page_size) {
  fake_os.page_size = *(const size_t *)page_size;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    workload_run(seed, 1000, false);
    workload_check();
    arena_assert_state();
  }
  expect(arena.page_size == fake_os.page_size);
  for (size_t align = 16; align <= 4 * arena.page_size; align *= 2) {
    void *p = mesh_memalign(align, 100);
    expect(p != NULL && (uintptr_t)p % align == 0);
    mesh_free(p);
  }
  workload_free_all();
  mesh_trim();
  arena_assert_state();
  HeapStats s;
  stats_read(&s);
  expect(s.active_bytes == 0 && s.dirty_bytes == 0);
}

TEST(pages_of_4_kib) { assert_child_passes(live_on_pages_of, &(size_t){4 * KIB}); }
TEST(pages_of_16_kib) { assert_child_passes(live_on_pages_of, &(size_t){16 * KIB}); }
TEST(pages_of_64_kib) { assert_child_passes(live_on_pages_of, &(size_t){64 * KIB}); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pages_of_4_kib),
      cmocka_unit_test(pages_of_16_kib),
      cmocka_unit_test(pages_of_64_kib),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
