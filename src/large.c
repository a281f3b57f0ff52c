#include "large.h"

#include <errno.h>
#include <string.h>

#include "global_heap.h"
#include "os.h"

bool large_is_possible(size_t size, size_t align) {
  return size <= PTRDIFF_MAX && align <= PTRDIFF_MAX && bytes_to_pages(size) < arena_pages_reserved() &&
         align >> arena.page_shift < arena_pages_reserved();
}

void *large_malloc(size_t size, size_t align, bool *zeroed) {
  PageContent content = PAGES_DIRTY;
  uint32_t page = 0;
  if (large_is_possible(size, align))
    page = arena_alloc(bytes_to_pages(size), max_size(1, align >> arena.page_shift), CLASS_LARGE,
                       CLASS_LARGE_TAIL, &content);
  if (page == 0) {
    errno = ENOMEM;
    return NULL;
  }
  if (zeroed != NULL) *zeroed = content == PAGES_ZERO;
  return page_address(page);
}

static void complain(const void *p) {
  /* A free page below the frontier held something once; whatever else is wrong never was a block. */
  bool was_block = arena_contains(p) && class_at(p) == CLASS_NONE && page_of(p) < arena.frontier;
  mesh_fatal(was_block ? "double free of" : "invalid free of", p);
}

static uint32_t block_page(const void *p) {
  if (UNLIKELY(!arena_contains(p) || class_at(p) != CLASS_LARGE)) complain(p);
  uint32_t page = page_of(p);
  if (UNLIKELY(p != page_address(page))) complain(p);
  return page;
}

/* After `freed` bytes became dirty: the excess and a piece, so that it is a while until the next. A free adds to what is
 * dirty and takes from what may be, so twice as much keeps up with large blocks; what small ones left, and what is due by
 * its age, is for ticks. */
static void purge_if_over(size_t freed) {
  const uint64_t now_ms = os_now_ms();
  const size_t dirty = pages_to_bytes(load_relaxed(&arena.dirty_pages)), limit = arena_dirty_limit();
  const size_t most = min_size(dirty - limit, 2 * freed) + PURGE_PIECE;
  if (dirty > limit) arena_purge_some((uint32_t)now_ms, UINT32_MAX, limit - PURGE_PIECE, most);
  global_heap_tick(now_ms);
}

void large_free(void *p) {
  const uint32_t page = block_page(p);
  const size_t bytes = pages_to_bytes(large_block_of(page)->pages);
  if (!arena_free_large(page)) mesh_fatal("double free of", p);
  purge_if_over(bytes);
}

size_t large_usable_size(const void *p) { return pages_to_bytes(large_block_of(block_page(p))->pages); }

static void *move_block(void *p, size_t size) {
  uint32_t from = page_of(p);
  size_t old_size = pages_to_bytes(large_block_of(from)->pages);
  void *to = large_malloc(size, 1, NULL);
  if (to == NULL) return NULL;
  if (old_size >= MOVE_PAGES_MIN && old_size < size && arena_move(from, page_of(to))) return to;
  memcpy(to, p, min_size(old_size, size));
  large_free(p);
  return to;
}

void *large_realloc(void *p, size_t size) {
  uint32_t page = block_page(p);
  if (size > PTRDIFF_MAX) {
    errno = ENOMEM;
    return NULL;
  }
  size_t old_pages = large_block_of(page)->pages, new_pages = bytes_to_pages(size);
  PageContent content;
  if (new_pages == old_pages) return p;
  if (new_pages > old_pages) return arena_extend(page, new_pages, &content) ? p : move_block(p, size);
  arena_shrink(page, new_pages);
  purge_if_over(pages_to_bytes(old_pages - new_pages));
  return p;
}
