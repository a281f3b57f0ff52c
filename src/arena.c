#include "arena.h"

#include <string.h>

#include "map_count.h"
#include "meta.h"
#include "os.h"
#include "page_run.h"

enum { TRIES_MAX = 1000 }; /* of an allocation that waits for others' purges, a millisecond each */

Arena arena = {.lock = LOCK_INIT(RANK_ARENA)};

static size_t map_bytes(size_t pages) { return pages << (arena.page_shift - MAP_UNIT_SHIFT); }
static size_t table_bytes(size_t pages) { return pages * sizeof(MiniHeap); }

size_t arena_metadata_bytes(bool ask) {
  lock_acquire(&arena.lock);
  const size_t map = round_up(map_bytes(arena.frontier), arena.page_size);
  const size_t table = round_up(table_bytes(arena.frontier), arena.page_size);
  lock_release(&arena.lock);
  if (!ask) return map + table;
  return os_resident((void *)arena.class_map, map) + os_resident((char *)arena.base - table, table);
}

static bool in_span(uint32_t page) {
  const unsigned c = class_at(page_address(page));
  return c >= CLASS_FIRST && c < CLASS_END;
}

size_t arena_resident_outside_spans(void) {
  lock_acquire(&arena.lock);
  const uint32_t end = arena.frontier;
  lock_release(&arena.lock);
  size_t resident = 0;
  for (uint32_t page = 1, first; page < end;) {
    for (first = page; page < end && !in_span(page); page++) continue;
    resident += os_resident(page_address(first), pages_to_bytes(page - first));
    while (page < end && in_span(page)) page++;
  }
  return resident;
}

/* ------------------------------------------------------------------------------ reservation */

static bool reserve(size_t bytes) {
  size_t pages = bytes >> arena.page_shift;
  size_t map = round_up(map_bytes(pages), arena.page_size);
  size_t table = round_up(table_bytes(pages), arena.page_size);
  char *p = os_reserve(map + table + bytes);
  if (p == NULL) return false;
  arena.class_map = (_Atomic uint8_t *)p;
  arena.base = (uintptr_t)p + map + table;
  arena.miniheaps = (MiniHeap *)arena.base - 1;
  store_relaxed(&arena.pages_reserved, (uint32_t)min_size(pages, UINT32_MAX));
  return true;
}

/* Leaves a quarter of a limited address space to stacks, libraries and the program's own mappings. */
static size_t share_of(size_t space_left) { return space_left == SIZE_MAX ? SIZE_MAX : space_left / 4 * 3; }

static void tell_mapped_anew(void *addr, size_t size) {
  void (*tell)(void *, size_t) = load_relaxed(&arena.mapped_anew);
  if (tell != NULL) tell(addr, size);
}

static bool commit(char *from, size_t size) {
  if (!os_commit(from, size)) return false;
  if (arena.committed > 0 && !os_set_dumped(from, size)) map_count_apart();
  return true;
}

/* A debugger that writes a core dump reads all that is mapped, even what cannot be read, unless it is told. Once the
 * first pages are usable: they are one system call cheaper so. */
static void leave_rest_out_of_dumps(void) {
  char *map_end = (char *)arena.class_map + round_up(map_bytes(arena.committed), arena.page_size);
  char *table = (char *)arena.base - round_up(table_bytes(arena.committed), arena.page_size);
  os_set_undumped(map_end, (size_t)(table - map_end));
  os_set_undumped(page_address(arena.committed), pages_to_bytes(arena_pages_reserved() - arena.committed));
}

/* Makes the first `pages` pages of the arena usable, and what describes them. */
static bool commit_to(uint32_t pages) {
  const size_t page = arena.page_size;
  size_t map_from = round_down(map_bytes(arena.committed), page), map_to = round_up(map_bytes(pages), page);
  size_t table_from = round_up(table_bytes(arena.committed), page), table_to = round_up(table_bytes(pages), page);
  char *table = (char *)arena.base - table_to, *from = page_address(arena.committed);
  if (!commit((char *)arena.class_map + map_from, map_to - map_from)) return false;
  if (arena.committed == 0)
    from = table; /* both at once */
  else if (!commit(table, table_to - table_from))
    return false;
  if (!commit(from, (size_t)(page_address(pages) - from))) return false;
  tell_mapped_anew(page_address(arena.committed), pages_to_bytes(pages - arena.committed));
  arena.committed = pages;
  /* Read by free without a lock: whoever frees an address below the limit got it from a malloc that
   * came after this store. */
  store_relaxed(&arena.limit, pages_to_bytes(pages));
  return true;
}

/* Where all that the system allows is committed, free pages of the heap may be all there is. */
static void *pages_for_metadata(size_t bytes) {
  PageContent content;
  const size_t pages = bytes_to_pages(bytes);
  uint32_t page = arena_alloc(pages, 1, CLASS_LARGE, CLASS_LARGE_TAIL, &content);
  if (page == 0) return NULL;
  lock_acquire(&arena.lock);
  arena.large_pages -= pages; /* counted as metadata */
  arena.large_count--;
  lock_release(&arena.lock);
  return page_address(page);
}

bool arena_init(void) {
  arena.page_size = os_page_size();
  arena.page_shift = log2_floor(arena.page_size);
  size_classes_init(arena.page_size);
  arena.process = os_process();
  meta_fall_back_on(pages_for_metadata);
  const size_t room = share_of(os_address_space_left(0));
  for (size_t bytes = ARENA_RESERVE_MAX; bytes >= ARENA_RESERVE_MIN; bytes = bytes / 8 * 7) {
    bytes = round_down(bytes, arena.page_size);
    if (bytes > room) continue;
    if (!reserve(bytes)) continue;
    arena.frontier = 1;
    arena.committed = 0;
    if (commit_to((uint32_t)(ARENA_COMMIT_STEP >> arena.page_shift))) {
      leave_rest_out_of_dumps();
      return true;
    }
    os_unmap((void *)arena.class_map, arena.base - (uintptr_t)arena.class_map + bytes);
    break;
  }
  arena.base = 0;
  return false;
}

/* That are mapped for so many pages, with what describes them. */
static size_t bytes_for(uint32_t pages) {
  const size_t page = arena.page_size;
  return round_up(map_bytes(pages), page) + round_up(table_bytes(pages), page) + pages_to_bytes(pages);
}

/* As many pages as there is room for, but what is committed. */
static uint32_t pages_to_keep(size_t room) {
  return (uint32_t)max_size(arena.committed, min_size(arena_pages_reserved(), room >> arena.page_shift));
}

static void keep_pages(uint32_t keep) {
  const uint32_t pages = arena_pages_reserved();
  if (keep >= pages) return;
  const size_t page = arena.page_size, map = round_up(map_bytes(keep), page), table = round_up(table_bytes(keep), page);
  const size_t map_was = round_up(map_bytes(pages), page), table_was = round_up(table_bytes(pages), page);
  /* Not what lies between them from an earlier time: it may be the program's by now. */
  if (map_was > map) os_unmap((char *)arena.class_map + map, map_was - map);
  if (table_was > table) os_unmap((char *)arena.base - table_was, table_was - table);
  os_unmap(page_address(keep), pages_to_bytes(pages - keep));
  store_relaxed(&arena.pages_reserved, keep);
}

void arena_fit_limit(size_t mapped_again) {
  lock_acquire(&arena.lock);
  const size_t left = os_address_space_left(bytes_for(arena_pages_reserved()) + mapped_again);
  keep_pages(pages_to_keep(share_of(left) / (mapped_again > 0 ? 2 : 1)));
  lock_release(&arena.lock);
}

bool arena_fit_lockable(size_t given_up) {
  lock_acquire(&arena.lock);
  const size_t left = os_lockable_left(bytes_for(arena_pages_reserved()) + given_up);
  const uint32_t keep = pages_to_keep(share_of(left));
  const bool fits = bytes_for(keep) <= left;
  if (fits) keep_pages(keep);
  lock_release(&arena.lock);
  return fits;
}

static bool commit_more(uint32_t frontier) {
  if (frontier <= arena.committed) return true;
  if (frontier > arena_pages_reserved()) return false;
  size_t step = max_size(ARENA_COMMIT_STEP, arena_used_bytes() / 16) >> arena.page_shift;
  size_t want = min_size(arena_pages_reserved(), max_size(frontier, arena.committed + step));
  return commit_to((uint32_t)want) || (want > frontier && commit_to(frontier));
}

/* ---------------------------------------------------------------------- allocation and freeing */

static void mark(uint32_t page, size_t pages, unsigned class_value) {
  memset((void *)&arena.class_map[map_bytes(page)], (int)class_value, map_bytes(pages));
}

/* The entries still say what they said of free runs, and neighbours' frames are looked at (map_count.c) before
 * the caller has filled them. */
static void clear_frames(uint32_t page, size_t pages) {
  for (size_t i = 0; i < pages; i++) {
    miniheap_of(page + (uint32_t)i)->offset = 0;
    miniheap_of(page + (uint32_t)i)->frame = 0;
  }
}

static void count_used(size_t more, size_t less) {
  store_relaxed(&arena.used_pages, load_relaxed(&arena.used_pages) + (uint32_t)(more - less));
}

/* Page numbers plus this are multiples of what addresses are multiples of. */
static uint32_t align_bias(void) { return (uint32_t)(arena.base >> arena.page_shift); }

/* A free run at the end is too short, and is taken with what is added behind it. */
static uint32_t raise_frontier(uint32_t pages, uint32_t align, PageContent *content) {
  uint32_t before = page_run_before(arena.frontier);
  if (before >= pages) before = 0; /* not too short, but overlooked for its alignment */
  const uint32_t start = arena.frontier - before;
  const uint32_t gap = (0u - (start + align_bias())) & (align - 1);
  const uint64_t end = (uint64_t)start + gap + pages;
  if (end > arena_pages_reserved() || !commit_more((uint32_t)end)) return 0;
  RunState state = RUN_CLEAN;
  const uint32_t stamp = before > 0 ? free_run_of(start)->stamp : 0;
  if (before > 0) page_run_take_at(start, before, &state);
  arena.frontier = start + gap; /* what is behind the gap is not free to be joined to it */
  if (gap > 0) page_run_insert(start, gap, state, stamp);
  arena.frontier = (uint32_t)end;
  *content = state == RUN_CLEAN ? PAGES_ZERO : PAGES_DIRTY;
  return start + gap;
}

static uint32_t alloc_locked(uint32_t pages, uint32_t align, PageContent *content) {
  uint32_t page = page_run_take(pages, align, align_bias(), RUN_DIRTY);
  *content = PAGES_DIRTY;
  if (page != 0) return page;
  *content = PAGES_ZERO;
  page = page_run_take(pages, align, align_bias(), RUN_CLEAN);
  if (page != 0) return page;
  return raise_frontier(pages, align, content);
}

/* Dirty and clean neighbours do not join: as clean pages they may make a run long enough. So may what another thread is
 * purging, which a purge of ours leaves alone. False if there is no such thing. */
static bool more_may_be_free(void) {
  const bool dirty = load_relaxed(&arena.dirty_pages) > 0, busy = page_runs_busy();
  if (!dirty && !busy) return false;
  lock_release(&arena.lock);
  const bool purged = dirty && arena_purge(0, 0, 0) > 0;
  if (!purged && busy) os_sleep_ms(1);
  lock_acquire(&arena.lock);
  return purged || busy;
}

uint32_t arena_alloc(size_t pages, size_t align, unsigned head_class, unsigned tail_class,
                     PageContent *content) {
  if (pages >= arena_pages_reserved() || align >= arena_pages_reserved()) return 0;
  lock_acquire(&arena.lock);
  uint32_t page = alloc_locked((uint32_t)pages, (uint32_t)align, content);
  for (int tries = 0; page == 0 && tries < TRIES_MAX && more_may_be_free(); tries++)
    page = alloc_locked((uint32_t)pages, (uint32_t)align, content);
  if (page != 0) {
    if (head_class == tail_class) clear_frames(page, pages);
    mark(page, 1, head_class);
    mark(page + 1, pages - 1, tail_class);
    count_used(pages, 0);
    if (head_class == CLASS_LARGE) {
      *large_block_of(page) = (LargeBlock){.pages = (uint32_t)pages};
      arena.large_pages += pages;
      arena.large_count++;
    }
  }
  lock_release(&arena.lock);
  return page;
}

static uint32_t alloc_spans_locked(uint32_t span_pages, uint32_t align, size_t *count, PageContent *content) {
  const size_t want = *count;
  for (int state = RUN_DIRTY; state <= RUN_CLEAN; state++) {
    *content = state == RUN_DIRTY ? PAGES_DIRTY : PAGES_ZERO;
    for (*count = want;; *count = 1) {
      uint32_t page = page_run_take((uint32_t)(*count * span_pages), align, align_bias(), (RunState)state);
      if (page != 0) return page;
      if (*count == 1) break;
    }
  }
  *count = want;
  uint32_t page = raise_frontier((uint32_t)(want * span_pages), align, content);
  if (page != 0 || want == 1) return page;
  *count = 1;
  return raise_frontier(span_pages, align, content);
}

uint32_t arena_alloc_spans(unsigned size_class, size_t *count, PageContent *content) {
  const uint32_t span_pages = size_classes[size_class].span_pages;
  /* Slots of a pinned class are aligned to their size, so spans of one slot must be. */
  const uint32_t align = class_is_pinned(size_class) ? span_pages : 1;
  lock_acquire(&arena.lock);
  uint32_t page = alloc_spans_locked(span_pages, align, count, content);
  if (page != 0) {
    clear_frames(page, *count * span_pages);
    mark(page, *count * span_pages, size_class);
    count_used(*count * span_pages, 0);
  }
  lock_release(&arena.lock);
  if (page != 0) return page;
  *count = 1;
  return arena_alloc(span_pages, align, size_class, size_class, content);
}

bool arena_alloc_at(uint32_t page, unsigned size_class) {
  const uint32_t span_pages = size_classes[size_class].span_pages;
  RunState state;
  lock_acquire(&arena.lock);
  /* What follows a free page may lie within a run, whose tags are at its ends. */
  bool ok = class_at(page_address(page - 1)) != CLASS_NONE && page_run_take_at(page, span_pages, &state);
  if (ok) {
    clear_frames(page, span_pages);
    mark(page, span_pages, size_class);
    count_used(span_pages, 0);
  }
  lock_release(&arena.lock);
  return ok;
}

static void free_locked(uint32_t page, size_t pages, RunState state, uint32_t now_ms) {
  mark(page, pages, CLASS_NONE);
  count_used(0, pages);
  page_run_insert(page, (uint32_t)pages, state, now_ms);
}

void arena_free(uint32_t page, size_t pages) {
  const uint32_t now_ms = (uint32_t)os_now_ms();
  lock_acquire(&arena.lock);
  free_locked(page, pages, RUN_DIRTY, now_ms);
  lock_release(&arena.lock);
}

void arena_free_fresh(uint32_t page, size_t pages) {
  lock_acquire(&arena.lock);
  free_locked(page, pages, RUN_CLEAN, 0);
  lock_release(&arena.lock);
}

void arena_free_spans(const uint32_t *page, size_t count, size_t pages) {
  const uint32_t now_ms = (uint32_t)os_now_ms();
  lock_acquire(&arena.lock);
  for (size_t i = 0; i < count; i++) free_locked(page[i], pages, RUN_DIRTY, now_ms);
  lock_release(&arena.lock);
}

/* ------------------------------------------------------------------------------- large blocks */

bool arena_extend(uint32_t page, size_t new_pages, PageContent *content) {
  LargeBlock *block = large_block_of(page);
  /* A moved block stays one mapping, so that it can be moved again. */
  if (new_pages >= arena_pages_reserved() || block->moved) return false;
  lock_acquire(&arena.lock);
  size_t old_pages = block->pages, more = new_pages - old_pages;
  const uint32_t behind = page + block->pages, free_behind = page_run_at(behind);
  RunState state;
  bool ok;
  if (free_behind < more && behind + free_behind == arena.frontier) {
    ok = raise_frontier((uint32_t)more, 1, content) != 0;
  } else {
    ok = page_run_take_at(behind, (uint32_t)more, &state);
    if (ok) *content = state == RUN_CLEAN ? PAGES_ZERO : PAGES_DIRTY;
  }
  if (ok) {
    mark(behind, more, CLASS_LARGE_TAIL);
    count_used(more, 0);
    arena.large_pages += more;
    block->pages = (uint32_t)new_pages;
  }
  lock_release(&arena.lock);
  return ok;
}

/* Moved pages are a kernel mapping of their own; fresh ones merge with their surroundings again, if no fork came
 * between. Returns the state of the pages afterwards. */
static RunState unmove(uint32_t page, size_t pages) {
  if (!os_map_fresh(page_address(page), pages_to_bytes(pages))) return RUN_DIRTY;
  tell_mapped_anew(page_address(page), pages_to_bytes(pages));
  return RUN_CLEAN;
}

void arena_shrink(uint32_t page, size_t new_pages) {
  const uint32_t now_ms = (uint32_t)os_now_ms();
  LargeBlock *block = large_block_of(page);
  uint32_t rest = page + (uint32_t)new_pages;
  size_t rest_pages = block->pages - new_pages;
  RunState state = block->moved ? unmove(rest, rest_pages) : RUN_DIRTY;
  lock_acquire(&arena.lock);
  block->pages = (uint32_t)new_pages;
  arena.large_pages -= rest_pages;
  if (state == RUN_CLEAN) map_count_fresh(rest, (uint32_t)rest_pages);
  free_locked(rest, rest_pages, state, now_ms);
  lock_release(&arena.lock);
}

bool arena_move(uint32_t from, uint32_t to) {
  LargeBlock *source = large_block_of(from), *target = large_block_of(to);
  const size_t bytes = pages_to_bytes(source->pages);
  if (load_relaxed(&arena.moved_blocks) >= MOVED_BLOCKS_MAX) return false;
  if (!os_move_pages(page_address(from), bytes, page_address(to), pages_to_bytes(target->pages))) return false;
  bool filled = os_fill_hole(page_address(from), bytes);
  if (filled) tell_mapped_anew(page_address(from), bytes);
  lock_acquire(&arena.lock);
  if (!source->moved) add_relaxed(&arena.moved_blocks, 1);
  target->moved = true;
  source->lost = !filled;
  arena.large_pages -= source->pages;
  arena.large_count--;
  if (filled) {
    map_count_fresh(from, source->pages);
    free_locked(from, source->pages, RUN_CLEAN, 0);
  }
  lock_release(&arena.lock);
  return true;
}

/* The pages of a moved block, without the lock while the system works. Until then they are a run that a child, where
 * this thread is gone, returns. */
static void free_moved(uint32_t page, uint32_t pages, uint32_t now_ms) {
  mark(page, pages, CLASS_NONE);
  count_used(0, pages);
  sub_relaxed(&arena.moved_blocks, 1);
  page_run_hold(page, pages, now_ms);
  lock_release(&arena.lock);
  const RunState state = unmove(page, pages);
  lock_acquire(&arena.lock);
  if (state == RUN_CLEAN) map_count_fresh(page, pages);
  page_run_return(page, pages, state, now_ms);
}

bool arena_free_large(uint32_t page) {
  const uint32_t now_ms = (uint32_t)os_now_ms();
  const LargeBlock *block = large_block_of(page);
  lock_acquire(&arena.lock);
  const bool ok = class_at(page_address(page)) == CLASS_LARGE && !block->lost;
  if (ok) {
    arena.large_pages -= block->pages;
    arena.large_count--;
    if (block->moved)
      free_moved(page, block->pages, now_ms);
    else
      free_locked(page, block->pages, RUN_DIRTY, now_ms);
  }
  lock_release(&arena.lock);
  return ok;
}

/* ------------------------------------------------------------------------------------ purging */

size_t arena_dirty_limit(void) { return max_size(PURGE_KEEP_MIN, arena_used_bytes() / PURGE_SHARE); }

/* Of a run freed at `stamp`. Threads read their clocks before they take the lock: it may be younger than now. */
static uint32_t age_of(uint32_t stamp, uint32_t now_ms) {
  enum { AHEAD_MAX_MS = 60000 };
  return stamp - now_ms < AHEAD_MAX_MS ? 0 : now_ms - stamp;
}

/* The longest-waiting dirty run if it is due; at most *pages of it. */
static uint32_t take_due(uint32_t now_ms, uint32_t age_ms, size_t keep, uint32_t *pages, bool *seamed) {
  lock_acquire(&arena.lock);
  bool due = page_run_oldest() != 0 && (pages_to_bytes(load_relaxed(&arena.dirty_pages)) > keep ||
                                        age_of(page_run_oldest_stamp(), now_ms) >= age_ms);
  uint32_t page = due ? page_run_take_oldest(pages) : 0;
  *seamed = page != 0 && map_count_seamed(page, *pages);
  lock_release(&arena.lock);
  return page;
}

size_t arena_purge_some(uint32_t now_ms, uint32_t age_ms, size_t keep, size_t most) {
  size_t purged = 0;
  while (purged < most) {
    uint32_t pages = (uint32_t)min_size(max_size(1, (most - purged) >> arena.page_shift), UINT32_MAX);
    bool seamed;
    uint32_t page = take_due(now_ms, age_ms, keep, &pages, &seamed);
    if (page == 0) break;
    /* Without the lock: giving pages back takes about 0.1 us each. */
    bool fresh = seamed && os_map_fresh(page_address(page), pages_to_bytes(pages));
    bool ok = fresh || os_purge(page_address(page), pages_to_bytes(pages));
    if (fresh) tell_mapped_anew(page_address(page), pages_to_bytes(pages));
    lock_acquire(&arena.lock);
    if (fresh) map_count_fresh(page, pages);
    page_run_return(page, pages, ok ? RUN_CLEAN : RUN_DIRTY, (uint32_t)os_now_ms());
    lock_release(&arena.lock);
    if (!ok) break;
    purged += pages_to_bytes(pages);
  }
  return purged;
}

size_t arena_purge(uint32_t now_ms, uint32_t age_ms, size_t keep) {
  return arena_purge_some(now_ms, age_ms, keep, SIZE_MAX);
}

/* ------------------------------------------------------------------------------------- checks */

static size_t check_free_run(uint32_t page, size_t counts[RUN_STATES]) {
  const FreeRun *first = free_run_of(page);
  check_always(first->pages > 0 && first->pages <= arena.frontier - page);
  const FreeRun *last = free_run_of(page + first->pages - 1);
  check_always(last->pages == first->pages && last->state == first->state);
  for (uint32_t i = 0; i < first->pages; i++) check_always(class_at(page_address(page + i)) == CLASS_NONE);
  if (first->state < RUN_STATES) counts[first->state] += first->pages;
  return first->pages;
}

static size_t check_used(uint32_t page, unsigned class_value) {
  check_always(class_value != CLASS_LARGE_TAIL && class_value < CLASS_MAP_VALUES);
  bool large = class_value == CLASS_LARGE;
  size_t pages = large ? large_block_of(page)->pages : size_classes[class_value].span_pages;
  for (uint32_t i = 1; i < pages; i++) {
    unsigned tail = class_at(page_address(page + i));
    check_always(tail == (large ? CLASS_LARGE_TAIL : class_value));
    check_always(large || miniheap_of(page + i)->offset == i);
  }
  return pages;
}

void arena_assert_state(void) {
  lock_acquire(&arena.lock);
  size_t free_counts[RUN_STATES] = {0, 0}, used = 0;
  for (uint32_t page = 1; page < arena.frontier;) {
    unsigned c = class_at(page_address(page));
    size_t pages = c == CLASS_NONE ? check_free_run(page, free_counts) : check_used(page, c);
    if (c != CLASS_NONE) used += pages;
    page += (uint32_t)pages;
  }
  check_always(used == load_relaxed(&arena.used_pages));
  check_always(free_counts[RUN_DIRTY] == load_relaxed(&arena.dirty_pages));
  check_always(free_counts[RUN_CLEAN] == arena.clean_pages);
  lock_release(&arena.lock);
}
