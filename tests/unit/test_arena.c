#include <string.h>

#include "arena.h"
#include "content.h"
#include "init.h"
#include "os.h"
#include "unit.h"

static void fill(uint32_t page, size_t pages) {
  content_fill(page_address(page), pages_to_bytes(pages), page);
}

static bool filled(uint32_t page, size_t pages, uint32_t key) {
  return content_holds(page_address(page), pages_to_bytes(pages), key);
}

static bool zero(uint32_t page, size_t pages) {
  const char *p = page_address(page);
  return p[0] == 0 && memcmp(p, p + 1, pages_to_bytes(pages) - 1) == 0;
}

static uint32_t alloc_large(size_t pages, size_t align) {
  PageContent content;
  uint32_t page = arena_alloc(pages, align, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  assert_int_not_equal(page, 0);
  if (content == PAGES_ZERO) assert_true(zero(page, pages));
  return page;
}

static void purge_all(void) { arena_purge(os_now_ms(), 0, 0); }

TEST(addresses_and_pages_agree) {
  uint32_t page = alloc_large(3, 1);
  assert_int_equal((uintptr_t)page_address(page) % arena.page_size, 0);
  for (size_t offset = 0; offset < pages_to_bytes(3); offset += 100) {
    const char *p = page_address(page) + offset;
    assert_int_equal(page_of(p), page + offset / arena.page_size);
    assert_true(arena_contains(p));
  }
  assert_false(arena_contains(page_address(0) - 1));
  assert_false(arena_contains(page_address(arena.committed)));
  assert_false(arena_contains(NULL));
  assert_false(arena_contains(&page));
  arena_free_large(page);
}

TEST(the_class_map_tells_heads_and_tails) {
  uint32_t page = alloc_large(4, 1);
  assert_int_equal(class_at(page_address(page)), CLASS_LARGE);
  for (uint32_t i = 1; i < 4; i++)
    for (size_t offset = 0; offset < arena.page_size; offset += 1 << MAP_UNIT_SHIFT)
      assert_int_equal(class_at(page_address(page + i) + offset), CLASS_LARGE_TAIL);
  assert_int_equal(large_block_of(page)->pages, 4);
  arena_assert_state();
  arena_free_large(page);
  for (uint32_t i = 0; i < 4; i++) assert_int_equal(class_at(page_address(page + i)), CLASS_NONE);
  arena_assert_state();
}

TEST(a_span_has_its_class_on_every_page) {
  const unsigned c = size_class_of(16);
  PageContent content;
  uint32_t page = arena_alloc(3, 1, c, c, &content);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(class_at(page_address(page + i)), c);
    miniheap_init(miniheap_of(page + i), page + i, c);
  }
  arena_assert_state(); /* three spans of one page */
  uint32_t heads[] = {page + 1, page, page + 2};
  arena_free_spans(heads, COUNT(heads), 1);
  arena_assert_state();
}

TEST(runs_are_aligned_as_asked) {
  uint32_t page[40];
  for (size_t i = 0; i < COUNT(page); i++) {
    size_t align = (size_t)1 << i % 10;
    page[i] = alloc_large(1 + i % 5, align);
    assert_int_equal((uintptr_t)page_address(page[i]) % (align * arena.page_size), 0);
  }
  arena_assert_state();
  for (size_t i = 0; i < COUNT(page); i++) arena_free_large(page[i]);
  arena_assert_state();
}

/* Blocks of one alignment come and go, and each finds the place of another. */
TEST(aligned_runs_are_used_again) {
  enum { BLOCKS = 32, ALIGN = 16, ROUNDS = 20 };
  uint32_t page[BLOCKS], end = 0;
  Rng rng;
  rng_seed(&rng, 1);
  for (size_t i = 0; i < BLOCKS; i++) page[i] = alloc_large(ALIGN, ALIGN);
  end = arena.frontier;
  for (size_t round = 0; round < ROUNDS * BLOCKS; round++) {
    size_t i = rng_below(&rng, BLOCKS);
    arena_free_large(page[i]);
    page[i] = alloc_large(ALIGN, ALIGN);
  }
  assert_int_equal(arena.frontier, end);
  for (size_t i = 0; i < BLOCKS; i++) arena_free_large(page[i]);
  arena_assert_state();
}

/* What is free at the end and too short is taken with what comes behind it. */
TEST(the_last_run_grows_with_the_arena) {
  const uint32_t half = arena.frontier; /* longer than any free run */
  PageContent content;
  uint32_t page = alloc_large(half, 1);
  for (int clean = 0; clean < 2; clean++) {
    fill(page, 4);
    arena_free_large(page);
    if (clean) purge_all();
    uint32_t longer = arena_alloc(2 * half + 7 + (uint32_t)clean, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
    assert_true(longer <= page);
    assert_int_equal(content, clean ? PAGES_ZERO : PAGES_DIRTY);
    page = longer;
    arena_assert_state();
  }
  uint32_t behind = alloc_large(3, 1);
  arena_free_large(behind);
  assert_true(arena_extend(page, 2 * half + 20, &content));
  arena_assert_state();
  arena_free_large(page);
}

/* A gap for the sake of alignment, in a dirty run and beside what was never used. */
TEST(a_gap_at_the_end_stays_free) {
  PageContent content;
  uint32_t page = alloc_large(arena.frontier, 1), last = alloc_large(5, 1);
  fill(last, 5);
  arena_free_large(last);
  uint32_t aligned = arena_alloc(7, 1024, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  assert_int_equal((uintptr_t)page_address(aligned) % pages_to_bytes(1024), 0);
  arena_assert_state();
  arena_free_large(page);
  arena_free_large(aligned);
}

TEST(dirty_pages_are_used_before_clean_ones) {
  uint32_t a = alloc_large(4, 1), between = alloc_large(1, 1), b = alloc_large(4, 1), end = alloc_large(1, 1);
  PageContent content;
  arena_free_large(a);
  purge_all();
  fill(b, 4);
  arena_free_large(b);
  assert_int_equal(arena_alloc(4, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content), b);
  assert_int_equal(content, PAGES_DIRTY);
  arena_free_large(b);
  arena_free_large(between);
  arena_free_large(end);
}

TEST(dirty_and_clean_neighbours_serve_a_long_run_before_the_system_does) {
  const uint32_t half = arena.frontier; /* longer than any free run */
  uint32_t lower = alloc_large(half, 1), upper = alloc_large(half, 1);
  assert_int_equal(upper, lower + half);
  arena_free_large(lower);
  purge_all();
  arena_free_large(upper);
  /* No more than the arena has: only joining them can serve it. */
  uint32_t frontier = arena.frontier, reserved = arena.pages_reserved;
  arena.pages_reserved = frontier;
  uint32_t page = alloc_large(2 * half, 1);
  arena.pages_reserved = reserved;
  assert_true(page <= lower);
  assert_int_equal(arena.frontier, frontier);
  arena_free_large(page);
}

TEST(the_frontier_is_the_end) {
  PageContent content;
  uint32_t frontier = arena.frontier, used = load_relaxed(&arena.used_pages);
  assert_int_equal(arena_alloc(arena.pages_reserved, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content), 0);
  assert_int_equal(arena_alloc(SIZE_MAX / 2, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content), 0);
  assert_int_equal(arena_alloc(1, (size_t)1 << 40, CLASS_LARGE, CLASS_LARGE_TAIL, &content), 0);
  assert_int_equal(arena_alloc((size_t)1 << 32, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content), 0);
  assert_int_equal(arena.frontier, frontier);
  assert_int_equal(load_relaxed(&arena.used_pages), used);
  assert_true(arena.frontier <= arena.committed && arena.committed <= arena.pages_reserved);
  arena_assert_state();
}

TEST(a_block_grows_into_what_is_free_behind_it) {
  PageContent content;
  uint32_t block = alloc_large(4, 1), behind = alloc_large(8, 1), end = alloc_large(1, 1);
  assert_int_equal(behind, block + 4);
  fill(block, 4);
  assert_false(arena_extend(block, 5, &content));
  arena_free_large(behind);
  assert_true(arena_extend(block, 6, &content));
  assert_int_equal(content, PAGES_DIRTY);
  assert_true(filled(block, 4, block));
  assert_int_equal(large_block_of(block)->pages, 6);
  assert_false(arena_extend(block, 13, &content));
  purge_all();
  assert_true(arena_extend(block, 12, &content));
  assert_int_equal(content, PAGES_ZERO);
  assert_true(zero(block + 6, 6));
  arena_assert_state();
  arena_free_large(block);
  arena_free_large(end);
}

TEST(the_last_block_grows_over_the_frontier) {
  PageContent content;
  const uint32_t pages = arena.frontier; /* longer than any free run */
  uint32_t block = alloc_large(pages, 1);
  assert_int_equal(block + pages, arena.frontier);
  assert_true(arena_extend(block, pages + 1000, &content));
  assert_int_equal(content, PAGES_ZERO);
  assert_int_equal(block + pages + 1000, arena.frontier);
  assert_true(zero(block + pages, 1000));
  assert_false(arena_extend(block, arena.pages_reserved, &content));
  assert_false(arena_extend(block, SIZE_MAX / 2, &content));
  arena_assert_state();
  arena_free_large(block);
}

TEST(a_shrunk_block_leaves_its_end_to_others) {
  uint32_t block = alloc_large(10, 1);
  fill(block, 10);
  arena_shrink(block, 3);
  arena_assert_state();
  assert_int_equal(large_block_of(block)->pages, 3);
  assert_int_equal(class_at(page_address(block + 3)), CLASS_NONE);
  assert_true(filled(block, 3, block));
  arena_free_large(block);
}

TEST(moved_pages_keep_their_bytes) {
  enum { PAGES = 64, MORE = 40 };
  uint32_t from = alloc_large(PAGES, 1), to = alloc_large(PAGES + MORE, 1), moved_before = arena.moved_blocks;
  PageContent content;
  fill(from, PAGES);
  memset(page_address(to), 0xaa, pages_to_bytes(PAGES + MORE));
  assert_true(arena_move(from, to));
  arena_assert_state();
  assert_true(filled(to, PAGES, from));
  assert_int_equal(class_at(page_address(from)), CLASS_NONE);
  assert_int_equal(arena.moved_blocks, moved_before + 1);
  assert_false(arena_extend(to, PAGES + MORE + 1, &content));
  memset(page_address(to), 0xbb, pages_to_bytes(PAGES + MORE));
  memset(page_address(from), 0, 1); /* usable again */

  uint32_t further = alloc_large(PAGES + MORE + 1, 1);
  assert_true(arena_move(to, further));
  assert_int_equal(arena.moved_blocks, moved_before + 1);
  arena_shrink(further, PAGES);
  assert_int_equal((unsigned char)page_address(further)[pages_to_bytes(PAGES) - 1], 0xbb);
  assert_true(zero(further + PAGES, MORE + 1));
  arena_free_large(further);
  assert_int_equal(arena.moved_blocks, moved_before);
  assert_true(zero(further, PAGES));
  arena_assert_state();
}

TEST(moved_blocks_are_limited) {
  uint32_t from = alloc_large(2, 1), to = alloc_large(3, 1), moved = arena.moved_blocks;
  fill(from, 2);
  arena.moved_blocks = MOVED_BLOCKS_MAX;
  assert_false(arena_move(from, to));
  arena.moved_blocks = moved;
  assert_true(filled(from, 2, from));
  arena_free_large(from);
  arena_free_large(to);
}

TEST(purging_obeys_age_and_amount) {
  assert_int_equal(load_relaxed(&arena.dirty_pages), 0);
  uint32_t a = alloc_large(10, 1), between = alloc_large(1, 1), b = alloc_large(20, 1),
           end = alloc_large(1, 1);
  fill(a, 10);
  fill(b, 20);
  arena_free_large(a);
  arena_free_large(b);
  uint32_t now_ms = os_now_ms();
  assert_int_equal(load_relaxed(&arena.dirty_pages), 30);
  assert_int_equal(arena_purge(now_ms, 1u << 30, SIZE_MAX), 0);
  assert_int_equal(arena_purge(now_ms, 1u << 30, pages_to_bytes(25)), pages_to_bytes(10));
  assert_true(zero(a, 10)); /* the one that waited longest */
  assert_int_equal(arena_purge(now_ms + 1000, 500, SIZE_MAX), pages_to_bytes(20));
  assert_true(zero(b, 20));
  assert_int_equal(load_relaxed(&arena.dirty_pages), 0);
  arena_assert_state();
  arena_free_large(between);
  arena_free_large(end);
}

/* Random blocks, each with bytes of its own, against nothing but their bytes and the arena's own checks. */
TEST(blocks_do_not_overlap) {
  enum { BLOCKS = 60, ROUNDS = 3000, PAGES_MAX = 40 };
  uint32_t page[BLOCKS] = {0}, key[BLOCKS];
  Rng rng;
  rng_seed(&rng, 1);
  for (int round = 0; round < ROUNDS; round++) {
    size_t i = rng_below(&rng, BLOCKS);
    if (page[i] != 0) {
      size_t pages = large_block_of(page[i])->pages, less = 1 + rng_below(&rng, (uint32_t)pages);
      assert_true(filled(page[i], 1, key[i]));
      PageContent content;
      uint32_t dice = rng_below(&rng, 4);
      if (dice == 0 && less < pages) arena_shrink(page[i], less);
      if (dice == 1) arena_extend(page[i], pages + less, &content);
      if (dice >= 2) {
        arena_free_large(page[i]);
        page[i] = 0;
      }
    } else {
      page[i] = key[i] = alloc_large(1 + rng_below(&rng, PAGES_MAX), (size_t)1 << rng_below(&rng, 4));
      fill(page[i], 1);
      memset(page_address(page[i]) + arena.page_size, 0xcc,
             pages_to_bytes(large_block_of(page[i])->pages - 1));
    }
    if (round % 100 == 0) arena_purge(os_now_ms(), 0, pages_to_bytes(rng_below(&rng, 200)));
    if (round % 10 == 0) arena_assert_state();
  }
  for (size_t i = 0; i < BLOCKS; i++)
    if (page[i] != 0) arena_free_large(page[i]);
  arena_assert_state();
}

/* All free pages are clean and, with nothing in use, one run: what is allocated one after the other lies
 * side by side. */
static int one_clean_run(void **unused) {
  (void)unused;
  if (!init_once()) return -1;
  purge_all();
  return 0;
}

static int nothing_used(void **unused) {
  (void)unused;
  return load_relaxed(&arena.used_pages) == 0 && arena.large_count == 0 && arena.large_pages == 0 ? 0 : -1;
}

#define ARENA_TEST(name) cmocka_unit_test_setup_teardown(name, one_clean_run, nothing_used)

int main(void) {
  const struct CMUnitTest tests[] = {
      ARENA_TEST(addresses_and_pages_agree),
      ARENA_TEST(the_class_map_tells_heads_and_tails),
      ARENA_TEST(a_span_has_its_class_on_every_page),
      ARENA_TEST(runs_are_aligned_as_asked),
      ARENA_TEST(aligned_runs_are_used_again),
      ARENA_TEST(the_last_run_grows_with_the_arena),
      ARENA_TEST(a_gap_at_the_end_stays_free),
      ARENA_TEST(dirty_pages_are_used_before_clean_ones),
      ARENA_TEST(dirty_and_clean_neighbours_serve_a_long_run_before_the_system_does),
      ARENA_TEST(the_frontier_is_the_end),
      ARENA_TEST(a_block_grows_into_what_is_free_behind_it),
      ARENA_TEST(the_last_block_grows_over_the_frontier),
      ARENA_TEST(a_shrunk_block_leaves_its_end_to_others),
      ARENA_TEST(moved_pages_keep_their_bytes),
      ARENA_TEST(moved_blocks_are_limited),
      ARENA_TEST(purging_obeys_age_and_amount),
      ARENA_TEST(blocks_do_not_overlap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
