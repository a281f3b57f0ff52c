#include "page_run.h"

#include "arena.h"

enum {
  EXACT_BINS = 64,  /* runs of 1 to 64 pages have a bin of their own */
  STEPS = 4,        /* longer ones share: four bins to a doubling */
  BINS = EXACT_BINS + STEPS * (32 - 6),
  BIN_SEARCH = 16,  /* runs looked at in a shared bin before a longer one is split */
  ALIGNED_SEARCH = 64, /* ... and in all bins for one in which an aligned run happens to fit */
};

static struct {
  uint32_t head[RUN_STATES][BINS];                /* (A) */
  uint64_t occupied[RUN_STATES][(BINS + 63) / 64]; /* (A) bins that are not empty */
  uint32_t oldest, newest;                        /* (A) dirty runs by age */
  uint32_t busy;                                  /* (A) runs being purged, by `newer` and `older` */
} runs;

/* The bin of a run this long: every run in it has at least bin_floor pages. */
static unsigned bin_of(uint32_t pages) {
  if (pages <= EXACT_BINS) return pages - 1;
  unsigned log = log2_floor(pages);
  unsigned step = (pages >> (log - 2)) & (STEPS - 1);
  return EXACT_BINS + (log - 6) * STEPS + step;
}

static void age_list_append(uint32_t page) {
  FreeRun *r = free_run_of(page);
  r->newer = 0;
  r->older = runs.newest;
  if (runs.newest != 0) free_run_of(runs.newest)->newer = page;
  else runs.oldest = page;
  runs.newest = page;
}

/* Puts `page` behind `at`. */
static void age_list_insert_after(uint32_t at, uint32_t page) {
  FreeRun *older = free_run_of(at), *r = free_run_of(page);
  r->older = at;
  r->newer = older->newer;
  if (r->newer != 0) free_run_of(r->newer)->older = page;
  else runs.newest = page;
  older->newer = page;
}

/* Puts `page` where `at` stands. */
static void age_list_replace(uint32_t at, uint32_t page) {
  FreeRun *old = free_run_of(at), *r = free_run_of(page);
  uint32_t older = old->older, newer = old->newer;
  r->older = older;
  r->newer = newer;
  if (older != 0) free_run_of(older)->newer = page;
  else runs.oldest = page;
  if (newer != 0) free_run_of(newer)->older = page;
  else runs.newest = page;
}

static void age_list_remove(uint32_t page) {
  FreeRun *r = free_run_of(page);
  if (r->older != 0) free_run_of(r->older)->newer = r->newer;
  else runs.oldest = r->newer;
  if (r->newer != 0) free_run_of(r->newer)->older = r->older;
  else runs.newest = r->older;
}

static void bin_push(uint32_t page, uint32_t pages, RunState state) {
  unsigned b = bin_of(pages);
  FreeRun *r = free_run_of(page);
  r->prev = 0;
  r->next = runs.head[state][b];
  if (r->next != 0) free_run_of(r->next)->prev = page;
  runs.head[state][b] = page;
  bitmap_set(runs.occupied[state], b);
}

static void bin_remove(uint32_t page) {
  FreeRun *r = free_run_of(page);
  unsigned b = bin_of(r->pages);
  if (r->next != 0) free_run_of(r->next)->prev = r->prev;
  if (r->prev != 0) {
    free_run_of(r->prev)->next = r->next;
  } else {
    runs.head[r->state][b] = r->next;
    if (r->next == 0) bitmap_clear(runs.occupied[r->state], b);
  }
}

static void count_pages(RunState state, uint32_t pages, bool more) {
  if (state == RUN_CLEAN)
    arena.clean_pages = more ? arena.clean_pages + pages : arena.clean_pages - pages;
  else
    store_relaxed(&arena.dirty_pages, load_relaxed(&arena.dirty_pages) + (more ? pages : 0u - pages));
}

/* Boundary tags. */
static void tag(uint32_t page, uint32_t pages, RunState state) {
  FreeRun *first = free_run_of(page), *last = free_run_of(page + pages - 1);
  first->pages = last->pages = pages;
  first->state = last->state = (uint8_t)state;
}

static bool is_free(uint32_t page) {
  return page < arena.frontier && page != 0 && class_at(page_address(page)) == CLASS_NONE;
}

/* Takes a run out of its bin and the counts. A dirty one stays in the list by age. */
static void unbin(uint32_t page) {
  FreeRun *r = free_run_of(page);
  bin_remove(page);
  count_pages((RunState)r->state, r->pages, false);
}

static void enbin(uint32_t page, uint32_t pages, RunState state) {
  tag(page, pages, state);
  bin_push(page, pages, state);
  count_pages(state, pages, true);
}

/* The age of a joined run is that of its longer part: neither may a trickle of fresh pages keep a long
 * idle run from being purged, nor an idle crumb have a hot run purged. */
static void join_age(uint32_t page, uint32_t pages, uint32_t other, uint32_t other_pages, uint32_t to) {
  uint32_t keep = pages >= other_pages ? page : other, drop = keep == page ? other : page;
  uint32_t stamp = free_run_of(keep)->stamp;
  age_list_remove(drop);
  if (keep != to) age_list_replace(keep, to);
  free_run_of(to)->stamp = stamp;
}

void page_run_insert(uint32_t page, uint32_t pages, RunState state, uint32_t now_ms) {
  if (state == RUN_DIRTY) {
    free_run_of(page)->stamp = now_ms;
    age_list_append(page);
  }
  if (is_free(page + pages)) {
    uint32_t next = page + pages, next_pages = free_run_of(next)->pages;
    if (free_run_of(next)->state == state) {
      unbin(next);
      if (state == RUN_DIRTY) join_age(page, pages, next, next_pages, page);
      pages += next_pages;
    }
  }
  if (is_free(page - 1)) {
    uint32_t before_pages = free_run_of(page - 1)->pages, before = page - before_pages;
    if (free_run_of(page - 1)->state == state) {
      unbin(before);
      if (state == RUN_DIRTY) join_age(page, pages, before, before_pages, before);
      page = before;
      pages += before_pages;
    }
  }
  enbin(page, pages, state);
}

static uint32_t best_in_bin(unsigned b, uint32_t pages, RunState state) {
  uint32_t best = 0, best_pages = UINT32_MAX;
  unsigned looked = 0;
  for (uint32_t p = runs.head[state][b]; p != 0 && looked < BIN_SEARCH; p = free_run_of(p)->next, looked++) {
    uint32_t n = free_run_of(p)->pages;
    if (n >= pages && n < best_pages) {
      best = p;
      best_pages = n;
    }
  }
  return best;
}

static uint32_t find(uint32_t pages, RunState state) {
  for (size_t b = bitmap_next(runs.occupied[state], BINS, bin_of(pages)); b < BINS;
       b = bitmap_next(runs.occupied[state], BINS, b + 1)) {
    uint32_t p = best_in_bin((unsigned)b, pages, state);
    if (p != 0) return p;
  }
  return 0;
}

static uint32_t skip_of(uint32_t page, uint32_t align, uint32_t bias) { return (0u - (page + bias)) & (align - 1); }

/* What was an aligned run once fits one again; any run fits one if it is longer by the alignment. */
static uint32_t find_aligned(uint32_t pages, uint32_t align, uint32_t bias, RunState state) {
  const unsigned end = bin_of(pages + align - 1);
  unsigned looked = 0;
  for (size_t b = bitmap_next(runs.occupied[state], end, bin_of(pages)); b < end && looked < ALIGNED_SEARCH;
       b = bitmap_next(runs.occupied[state], end, b + 1))
    for (uint32_t p = runs.head[state][b]; p != 0 && looked < ALIGNED_SEARCH; p = free_run_of(p)->next, looked++)
      if (free_run_of(p)->pages >= (uint64_t)pages + skip_of(p, align, bias)) return p;
  return find(pages + align - 1, state);
}

/* Takes `pages` pages that start `skip` pages into the free run at `page`; what is left over on either
 * side stays free, in its place by age. */
static void carve(uint32_t page, uint32_t skip, uint32_t pages) {
  FreeRun *r = free_run_of(page);
  RunState state = (RunState)r->state;
  uint32_t total = r->pages, stamp = r->stamp, rest = total - skip - pages;
  uint32_t after = page + skip + pages;
  unbin(page);
  if (state == RUN_DIRTY) {
    if (rest > 0 && skip > 0) {
      free_run_of(after)->stamp = stamp;
      age_list_insert_after(page, after);
    } else if (rest > 0) {
      free_run_of(after)->stamp = stamp;
      age_list_replace(page, after);
    } else if (skip == 0) {
      age_list_remove(page);
    }
  }
  if (skip > 0) enbin(page, skip, state);
  if (rest > 0) enbin(after, rest, state);
}

uint32_t page_run_take(uint32_t pages, uint32_t align, uint32_t bias, RunState state) {
  if (pages + align - 1 < pages) return 0;
  uint32_t page = align == 1 ? find(pages, state) : find_aligned(pages, align, bias, state);
  if (page == 0) return 0;
  uint32_t skip = skip_of(page, align, bias);
  carve(page, skip, pages);
  return page + skip;
}

uint32_t page_run_before(uint32_t page) {
  if (!is_free(page - 1) || free_run_of(page - 1)->state == RUN_BUSY) return 0;
  return free_run_of(page - 1)->pages;
}

uint32_t page_run_at(uint32_t page) {
  if (!is_free(page) || free_run_of(page)->state == RUN_BUSY) return 0;
  return free_run_of(page)->pages;
}

bool page_run_take_at(uint32_t page, uint32_t pages, RunState *state) {
  if (page_run_at(page) < pages) return false;
  *state = (RunState)free_run_of(page)->state;
  carve(page, 0, pages);
  return true;
}

uint32_t page_run_oldest(void) { return runs.oldest; }
uint32_t page_run_oldest_stamp(void) { return free_run_of(runs.oldest)->stamp; }

/* Not 0. Of two threads with the same, a multiple of 64 GiB apart, a child may lose a run. */
static uint32_t this_thread(void) { return (uint32_t)((uintptr_t)&locks_held >> 4) | 1; }

void page_run_hold(uint32_t page, uint32_t pages, uint32_t now_ms) {
  tag(page, pages, RUN_BUSY);
  FreeRun *r = free_run_of(page);
  r->stamp = now_ms;
  r->next = this_thread();
  r->older = 0;
  r->newer = runs.busy;
  if (r->newer != 0) free_run_of(r->newer)->older = page;
  runs.busy = page;
}

uint32_t page_run_take_oldest(uint32_t *pages) {
  uint32_t page = runs.oldest;
  if (page == 0) return 0;
  *pages = (uint32_t)min_size(*pages, free_run_of(page)->pages);
  const uint32_t stamp = free_run_of(page)->stamp;
  carve(page, 0, *pages);
  page_run_hold(page, *pages, stamp);
  return page;
}

bool page_runs_busy(void) { return runs.busy != 0; }

void page_run_return(uint32_t page, uint32_t pages, RunState state, uint32_t now_ms) {
  FreeRun *r = free_run_of(page);
  if (r->newer != 0) free_run_of(r->newer)->older = r->older;
  if (r->older != 0) free_run_of(r->older)->newer = r->newer;
  else runs.busy = r->newer;
  page_run_insert(page, pages, state, now_ms);
}

void page_runs_fork_child(void) {
  for (uint32_t page = runs.busy, next; page != 0; page = next) {
    const FreeRun *r = free_run_of(page);
    next = r->newer;
    if (r->next != this_thread()) page_run_return(page, r->pages, RUN_DIRTY, r->stamp);
  }
}
