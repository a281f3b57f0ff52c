/* The page-run allocator against a model that has a state for each page and knows nothing of lists. */
#include <pthread.h>

#include "arena.h"
#include "init.h"
#include "page_run.h"
#include "rng.h"
#include "unit.h"

/* No more than 16 runs of over 64 pages can be free at once: the search must be exact. */
enum { POOL = 1024, STEPS = 20000, EXTENTS = POOL, SIZE_MAX_PAGES = 120, ALIGN_MAX = 32 };

typedef enum PageState { IS_DIRTY = RUN_DIRTY, IS_CLEAN = RUN_CLEAN, IS_BUSY, IS_USED } PageState;

typedef struct Extent {
  uint32_t page, pages;
} Extent;

static struct {
  uint32_t first;        /* page number of page 0 of the pool */
  PageState state[POOL]; /* indices are pages from `first` */
  uint32_t stamp[POOL];  /* of the run that a dirty page belongs to */
  Extent used[EXTENTS];
  size_t used_count;
  uint32_t now_ms;
  Rng rng;
} model;

/* ------------------------------------------------------------------------------- the pool's pages */

/* As a large block, so that arena_assert_state() takes the page for one in use. */
static void mark_used(Extent e) {
  for (uint32_t i = 0; i < e.pages; i++) {
    size_t unit = (size_t)(e.page + i) << (arena.page_shift - MAP_UNIT_SHIFT);
    for (size_t u = 0; u < (size_t)1 << (arena.page_shift - MAP_UNIT_SHIFT); u++)
      store_relaxed(&arena.class_map[unit + u], i == 0 ? CLASS_LARGE : CLASS_LARGE_TAIL);
    if (e.page >= model.first && e.page < model.first + POOL) model.state[e.page + i - model.first] = IS_USED;
  }
  *large_block_of(e.page) = (LargeBlock){.pages = e.pages};
  arena.used_pages += e.pages;
}

static void mark_free(Extent e) {
  for (uint32_t i = 0; i < e.pages; i++) {
    size_t unit = (size_t)(e.page + i) << (arena.page_shift - MAP_UNIT_SHIFT);
    for (size_t u = 0; u < (size_t)1 << (arena.page_shift - MAP_UNIT_SHIFT); u++)
      store_relaxed(&arena.class_map[unit + u], CLASS_NONE);
  }
  arena.used_pages -= e.pages;
}

/* A pool between two pages that stay in use, so that it has no free neighbours. */
static int make_pool(void **unused) {
  (void)unused;
  PageContent content;
  if (!init_once()) return -1;
  uint32_t page = arena_alloc(POOL + 2, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  if (page == 0) return -1;
  mark_free((Extent){page, POOL + 2});
  mark_used((Extent){page, 1});
  mark_used((Extent){page + POOL + 1, 1});
  model.first = page + 1;
  model.now_ms = 1000;
  for (size_t i = 0; i < POOL; i++) model.state[i] = IS_CLEAN;
  page_run_insert(model.first, POOL, RUN_CLEAN, 0);
  return 0;
}

/* -------------------------------------------------------------------------------- what it should do */

/* The longest run of equal state around index i. */
static Extent model_run(uint32_t i) {
  uint32_t from = i, to = i + 1;
  while (from > 0 && model.state[from - 1] == model.state[i]) from--;
  while (to < POOL && model.state[to] == model.state[i]) to++;
  return (Extent){model.first + from, to - from};
}

static void model_set(Extent e, PageState state, uint32_t stamp) {
  for (uint32_t i = e.page - model.first; i < e.page - model.first + e.pages; i++) {
    model.state[i] = state;
    model.stamp[i] = stamp;
  }
}

static bool has_state(uint32_t page, PageState state) {
  return page >= model.first && page < model.first + POOL && model.state[page - model.first] == state;
}

/* The stamp of a joined run is that of its longer part, joining what lies behind first. */
static void model_insert(Extent e, PageState state) {
  uint32_t stamp = model.now_ms;
  Extent joined = e;
  for (int side = 0; side < 2; side++) {
    uint32_t beside = side == 0 ? joined.page + joined.pages : joined.page - 1;
    if (!has_state(beside, state)) continue;
    Extent other = model_run(beside - model.first);
    if (other.pages > joined.pages) stamp = model.stamp[other.page - model.first];
    joined.pages += other.pages;
    if (side == 1) joined.page = other.page;
  }
  model_set(joined, state, stamp);
}

/* Length of the shortest run of this state with at least `pages` pages; 0 if there is none. */
static uint32_t model_best_fit(uint32_t pages, PageState state) {
  uint32_t best = 0;
  for (uint32_t i = 0; i < POOL; i++) {
    if (model.state[i] != state) continue;
    Extent run = model_run(i);
    if (run.pages >= pages && (best == 0 || run.pages < best)) best = run.pages;
    i = run.page - model.first + run.pages - 1;
  }
  return best;
}

static uint32_t model_oldest_stamp(void) {
  uint32_t oldest = UINT32_MAX;
  for (size_t i = 0; i < POOL; i++)
    if (model.state[i] == IS_DIRTY && model.stamp[i] < oldest) oldest = model.stamp[i];
  return oldest;
}

static void check_run(Extent run, RunState state) {
  const FreeRun *first = free_run_of(run.page), *last = free_run_of(run.page + run.pages - 1);
  assert_int_equal(page_run_at(run.page), run.pages);
  assert_int_equal(first->pages, run.pages);
  assert_int_equal(last->pages, run.pages);
  assert_int_equal(first->state, state);
  assert_int_equal(last->state, state);
  if (state == RUN_DIRTY) assert_int_equal(first->stamp, model.stamp[run.page - model.first]);
}

static void check_everything(void) {
  uint32_t counts[IS_USED + 1] = {0};
  for (uint32_t i = 0; i < POOL; i++) counts[model.state[i]]++;
  assert_int_equal(load_relaxed(&arena.dirty_pages), counts[IS_DIRTY]);
  assert_int_equal(arena.clean_pages, counts[IS_CLEAN]);
  for (uint32_t i = 0; i < POOL;) {
    Extent run = model_run(i);
    if (model.state[i] <= IS_CLEAN) check_run(run, (RunState)model.state[i]);
    i += run.pages;
  }
  arena_assert_state();
}

/* -------------------------------------------------------------------------------------- the operations */

static void keep(Extent e) {
  mark_used(e);
  model.used[model.used_count++] = e;
}

static void try_take(void) {
  RunState state = (RunState)rng_below(&model.rng, RUN_STATES);
  uint32_t pages = 1 + rng_below(&model.rng, 1 + rng_below(&model.rng, SIZE_MAX_PAGES));
  uint32_t align =
      rng_below(&model.rng, 2) ? 1 : (uint32_t)1 << rng_below(&model.rng, log2_floor(ALIGN_MAX) + 1);
  uint32_t bias = rng_below(&model.rng, ALIGN_MAX);
  uint32_t best = model_best_fit(pages + align - 1, (PageState)state);
  uint32_t page = page_run_take(pages, align, bias, state);
  if (page == 0) {
    assert_int_equal(best, 0);
    return;
  }
  if (align == 1) assert_int_not_equal(best, 0);
  assert_true(page >= model.first && page + pages <= model.first + POOL);
  assert_int_equal((page + bias) % align, 0);
  assert_int_equal(model.state[page - model.first], state);
  Extent run = model_run(page - model.first);
  assert_true(page + pages <= run.page + run.pages);
  assert_true(page - run.page < align); /* as near to its start as can be */
  if (align == 1)
    assert_int_equal(run.pages, best);
  else
    assert_true(best == 0 || run.pages <= best); /* less where it happens to fit */
  keep((Extent){page, pages});
}

static void try_take_at(void) {
  uint32_t i = rng_below(&model.rng, POOL), pages = 1 + rng_below(&model.rng, 20);
  Extent run = model_run(i);
  PageState in_model = model.state[i];
  RunState state = RUN_BUSY;
  if (rng_below(&model.rng, 4) > 0) i = run.page - model.first;
  bool starts_run = in_model <= IS_CLEAN && model.first + i == run.page;
  if (in_model <= IS_CLEAN && !starts_run) return; /* inside a run: not a question the arena asks */
  if (in_model == IS_BUSY && model.first + i != run.page) return;
  assert_int_equal(page_run_take_at(model.first + i, pages, &state), starts_run && run.pages >= pages);
  if (!starts_run || run.pages < pages) return;
  assert_int_equal(state, in_model);
  keep((Extent){model.first + i, pages});
}

static void insert_used(void) {
  if (model.used_count == 0) return;
  size_t i = rng_below(&model.rng, (uint32_t)model.used_count);
  Extent e = model.used[i];
  model.used[i] = model.used[--model.used_count];
  RunState state = (RunState)rng_below(&model.rng, RUN_STATES);
  model.now_ms++;
  mark_free(e);
  model_insert(e, (PageState)state);
  page_run_insert(e.page, e.pages, state, model.now_ms);
}

/* As a purge does it, with frees of neighbours in between. */
static void take_oldest(void) {
  const uint32_t most = rng_below(&model.rng, 2) > 0 ? 1 + rng_below(&model.rng, 8) : POOL;
  uint32_t pages = most, oldest = model_oldest_stamp();
  if (oldest == UINT32_MAX) {
    assert_int_equal(page_run_oldest(), 0);
    assert_int_equal(page_run_take_oldest(&pages), 0);
    return;
  }
  assert_int_equal(page_run_oldest_stamp(), oldest);
  uint32_t page = page_run_oldest();
  assert_int_equal(page_run_take_oldest(&pages), page);
  Extent run = model_run(page - model.first);
  assert_int_equal(run.page, page);
  assert_int_equal(min_size(run.pages, most), pages);
  run.pages = pages; /* what is left of it keeps its age */
  model_set(run, IS_BUSY, 0);
  check_everything();
  assert_int_equal(page_run_at(page), 0);
  insert_used();
  insert_used();
  check_everything();
  PageState state = rng_below(&model.rng, 4) > 0 ? IS_CLEAN : IS_DIRTY;
  model.now_ms++;
  model_insert(run, state);
  page_run_return(page, pages, (RunState)state, model.now_ms);
}

TEST(agrees_with_the_model) {
  rng_seed(&model.rng, 1);
  for (int step = 0; step < STEPS; step++) {
    uint32_t dice = rng_below(&model.rng, 100);
    if (dice < 40)
      try_take();
    else if (dice < 50)
      try_take_at();
    else if (dice < 95)
      insert_used();
    else
      take_oldest();
    if (step % 8 == 0) check_everything();
  }
}

TEST(everything_comes_back_as_one_run) {
  while (model.used_count > 0) {
    Extent e = model.used[--model.used_count];
    mark_free(e);
    model_insert(e, IS_DIRTY);
    page_run_insert(e.page, e.pages, RUN_DIRTY, model.now_ms);
  }
  uint32_t page, pages = POOL;
  for (; (page = page_run_take_oldest(&pages)) != 0; pages = POOL) {
    model_insert((Extent){page, pages}, IS_CLEAN);
    page_run_return(page, pages, RUN_CLEAN, 0);
  }
  assert_int_equal(page_run_at(model.first), POOL);
  check_everything();
}

TEST(what_a_taker_leaves_on_both_sides_keeps_its_age) {
  enum { LENGTH = 16 };
  Extent old = {model.first, LENGTH - 2}, young = {model.first + 2 * LENGTH, LENGTH};
  RunState state;
  assert_true(page_run_take_at(model.first, POOL, &state));
  mark_used((Extent){model.first, POOL});
  mark_free(old);
  page_run_insert(old.page, old.pages, RUN_DIRTY, 100);
  mark_free(young);
  page_run_insert(young.page, young.pages, RUN_DIRTY, 200);
  /* One page from the middle of the old run, which is the better fit: two old runs are left, both older than
   * the young one. */
  uint32_t bias = LENGTH - (old.page + 4) % LENGTH;
  uint32_t taken = page_run_take(1, LENGTH, bias, RUN_DIRTY);
  assert_int_equal(taken, old.page + 4);
  Extent left[2];
  for (int i = 0; i < 2; i++) {
    assert_int_equal(page_run_oldest_stamp(), 100);
    left[i].pages = LENGTH;
    left[i].page = page_run_take_oldest(&left[i].pages);
  }
  assert_int_equal(page_run_oldest_stamp(), 200);
  for (int i = 0; i < 2; i++) page_run_return(left[i].page, left[i].pages, RUN_DIRTY, 300);
}

static void *take_in_thread(void *pages) { return (void *)(uintptr_t)page_run_take_oldest(pages); }

/* Another thread was purging one run when a signal handler forked that interrupted the purge of another. */
TEST(in_a_child_what_others_were_purging_is_free_again) {
  pthread_t thread;
  void *result;
  uint32_t own_pages = POOL, pages = POOL, own = page_run_take_oldest(&own_pages);
  assert_int_equal(pthread_create(&thread, NULL, take_in_thread, &pages), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  const uint32_t page = (uint32_t)(uintptr_t)result, dirty = load_relaxed(&arena.dirty_pages);
  assert_int_not_equal(own, 0);
  assert_int_not_equal(page, 0);
  assert_int_equal(page_run_at(page), 0);
  page_runs_fork_child();
  assert_int_equal(load_relaxed(&arena.dirty_pages), dirty + pages);
  assert_true(page_run_at(page) >= pages || page_run_at(page - 1) > 0);
  assert_int_equal(page_run_at(own), 0);
  page_runs_fork_child();
  assert_int_equal(load_relaxed(&arena.dirty_pages), dirty + pages);
  page_run_return(own, own_pages, RUN_DIRTY, 0);
  assert_int_equal(load_relaxed(&arena.dirty_pages), dirty + pages + own_pages);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_the_model),
      cmocka_unit_test(everything_comes_back_as_one_run),
      cmocka_unit_test(what_a_taker_leaves_on_both_sides_keeps_its_age),
      cmocka_unit_test(in_a_child_what_others_were_purging_is_free_again),
  };
  return cmocka_run_group_tests(tests, make_pool, NULL);
}
