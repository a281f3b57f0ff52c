#include "map_count.h"

#include "os.h"

enum { ASKS_MAX = 2000 }; /* about 1 ms */

static struct {
  uint64_t *seams;   /* (A) one bit for each page that a seam is before; NULL before the first meshing */
  size_t boundaries; /* (A) places in the arena where one mapping ends and the next begins */
  _Atomic size_t apart; /* (~) those that nobody knows the place of, counted with and without the lock */
  uint32_t born_at;  /* (A) committed pages at the last fork that this is a child of, before the first meshing */
} maps;

uint32_t map_count_file_page(uint32_t page) {
  if (page == 0 || page >= arena.frontier) return 0;
  unsigned c = class_at(page_address(page));
  if (c < CLASS_FIRST || c >= CLASS_END) return 0;
  uint32_t offset = miniheap_of(page)->offset;
  uint32_t frame = miniheap_of(page - offset)->frame;
  return frame == 0 ? 0 : (frame & FRAME_STALE) | ((frame + offset) & ~FRAME_STALE);
}

static bool seam(uint32_t page) { return maps.seams != NULL && bitmap_get(maps.seams, page); }

static void set_seam(uint32_t page, bool on) {
  if (on)
    bitmap_set(maps.seams, page);
  else
    bitmap_clear(maps.seams, page);
}

/* A mapping ends before `page`. */
static bool boundary(uint32_t page) {
  uint32_t before = map_count_file_page(page - 1), here = map_count_file_page(page);
  if (before == 0 && here == 0) return seam(page);
  return before == 0 || here == 0 || before + 1 != here;
}

int map_count_cost_of_leaving(uint32_t page, uint32_t pages) {
  int now = boundary(page) + boundary(page + pages);
  int then = (map_count_file_page(page - 1) != 0) + (map_count_file_page(page + pages) != 0);
  return then - now;
}

/* Of pages that have one frame, or none. */
static size_t boundaries_of(uint32_t page, uint32_t pages) {
  const uint32_t end = page + pages;
  size_t n = (size_t)boundary(page) + boundary(end);
  if (map_count_file_page(page) != 0) return n;
  for (size_t p = bitmap_next(maps.seams, end, page + 1); p < end; p = bitmap_next(maps.seams, end, p + 1)) n++;
  return n;
}

/* Anonymous memory meets anonymous memory there, and the kernel keeps them apart. Where other memory is on one
 * side, that is a boundary without a seam, and there is none at the end of what is in use. */
static bool is_seam(uint32_t page) {
  if (page >= arena.committed || map_count_file_page(page - 1) != 0 || map_count_file_page(page) != 0) return false;
  return !os_is_one_mapping(page_address(page - 1), pages_to_bytes(2), page_address(arena_pages_reserved() - 1));
}

/* A large block that was moved ends before `page`. */
static bool moved_before(uint32_t page) {
  while (class_at(page_address(page - 1)) == CLASS_LARGE_TAIL) page--;
  return class_at(page_address(page - 1)) == CLASS_LARGE && large_block_of(page - 1)->moved;
}

/* One begins or ends there: those are counted by their number. */
static bool is_edge_of_moved(uint32_t page) {
  const unsigned c = class_at(page_address(page));
  if (c == CLASS_LARGE && large_block_of(page)->moved) return true;
  return c != CLASS_LARGE_TAIL && moved_before(page);
}

/* Seams between the pages from `first` to `last`, none of which is mapped onto a file. The kernel is asked for ever
 * shorter ranges, `*asks` times at most. */
static void find_seams(uint32_t first, uint32_t last, unsigned *asks) {
  if (first == last || *asks == 0) return;
  const size_t bytes = pages_to_bytes(last - first + 1);
  --*asks;
  if (os_is_one_mapping(page_address(first), bytes, page_address(arena_pages_reserved() - 1))) return;
  if (first + 1 < last) {
    const uint32_t middle = first + (last - first) / 2;
    find_seams(first, middle, asks);
    find_seams(middle, last, asks);
  } else if (!is_edge_of_moved(last)) {
    set_seam(last, true);
    maps.boundaries++;
  }
}

/* What is committed from here on is apart. */
static void seam_at_end(void) {
  const uint32_t page = arena.committed;
  maps.boundaries -= boundary(page);
  set_seam(page, true);
  maps.boundaries += boundary(page);
}

/* Where it takes too long, what is left is counted as all blocks that can be moved at a time. */
static void find_all_seams(void) {
  unsigned asks = ASKS_MAX;
  find_seams(0, arena.committed - 1, &asks);
  if (asks == 0) maps.boundaries += 2 * MOVED_BLOCKS_MAX;
  if (maps.born_at == arena.committed) seam_at_end();
}

bool map_count_open(void) {
  if (maps.seams != NULL) return true;
  uint64_t *seams = os_map_sparse(round_up(arena_pages_reserved() / 8 + 8, arena.page_size));
  if (seams == NULL) return false;
  lock_acquire(&arena.lock);
  maps.seams = seams;
  if (maps.born_at != 0) find_all_seams();
  lock_release(&arena.lock);
  return true;
}

/* Fresh memory may have joined what is on either side, or both to each other: the kernel knows. */
static void renew_seams(uint32_t page, uint32_t pages) {
  const uint32_t end = page + pages;
  for (size_t p = page; p < end; p = bitmap_next(maps.seams, end, p + 1)) set_seam((uint32_t)p, false);
  set_seam(page, is_seam(page));
  set_seam(end, is_seam(end));
}

void map_count_set_frame(uint32_t page, uint32_t pages, uint32_t frame) {
  maps.boundaries -= boundaries_of(page, pages);
  miniheap_of(page)->frame = frame;
  if (frame == 0) renew_seams(page, pages);
  maps.boundaries += boundaries_of(page, pages);
}

void map_count_fresh(uint32_t page, uint32_t pages) {
  if (maps.seams == NULL) return;
  maps.boundaries -= boundaries_of(page, pages);
  renew_seams(page, pages);
  maps.boundaries += boundaries_of(page, pages);
}

bool map_count_seamed(uint32_t page, uint32_t pages) {
  return maps.seams != NULL && bitmap_next(maps.seams, page + pages, page + 1) < page + pages;
}

void map_count_apart(void) { add_relaxed(&maps.apart, 2); }

void map_count_forked(void) {
  if (maps.seams != NULL)
    seam_at_end();
  else if (maps.born_at != arena.committed) /* no store, no copied page */
    maps.born_at = arena.committed;
}

size_t map_count(void) {
  return 1 + maps.boundaries + load_relaxed(&maps.apart) + 2 * (size_t)load_relaxed(&arena.moved_blocks);
}
