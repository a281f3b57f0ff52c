#include "mesh_renewal.h"

#include "arena_mesh.h"
#include "mesh_apply.h"
#include "os.h"

enum {
  LOOK_PAGES = 1024,    /* pages looked at in a step, if there is nothing to do */
  SPANS_MAX = 32,       /* moved in one hold of the class lock */
  AGAIN_MS = 500,       /* twice that until what could not be moved is tried again, at first */
  IN_CHILD_MS = 5000,   /* after the fork */
  LONG_MS = 600000,     /* the longest wait for what is better shared, or pinned: it may stay so for good */
  IN_CHILD_SHARE = 8,   /* a child copies less than this share of what it wins */
};

static struct {
  bool pending;      /* (mesh lock) */
  int parent;        /* (mesh lock) in a child: whom it may share the pages with; otherwise 0 */
  uint32_t wait_ms;  /* (mesh lock) before it was put off last */
  uint64_t due_ms;   /* (mesh lock) */
  uint32_t cursor;   /* (mesh lock) next page */
  bool found;        /* (mesh lock) something that may be moved, before that page */
  size_t file_pages; /* (mesh lock) pages that the files have, or more */
} renewal;

void mesh_renewal_schedule(uint64_t due_ms, size_t file_pages) {
  renewal.pending = true;
  renewal.parent = 0;
  renewal.wait_ms = AGAIN_MS;
  renewal.due_ms = due_ms;
  renewal.cursor = 1;
  renewal.file_pages = file_pages;
}

/* Without a store where there is nothing to renew: it would have the kernel copy a page. */
void mesh_renewal_in_child(int parent) {
  uint64_t due_ms;
  if (!mesh_renewal_pending(&due_ms)) return;
  renewal.parent = parent;
  renewal.wait_ms = IN_CHILD_MS;
  renewal.due_ms = os_now_ms() + IN_CHILD_MS;
}

bool mesh_renewal_pending(uint64_t *due_ms) {
  *due_ms = renewal.due_ms;
  return renewal.pending && arena_mesh_pages_on_old_files() > 0;
}

static uint64_t put_off(uint64_t now_ms, size_t most_ms) {
  renewal.wait_ms = (uint32_t)min_size(most_ms, 2 * (size_t)renewal.wait_ms);
  return renewal.due_ms = now_ms + renewal.wait_ms;
}

uint64_t mesh_renewal_put_off(uint64_t now_ms) { return put_off(now_ms, MESH_BACKOFF_MAX_MS); }

static bool is_better_shared(void) {
  if (renewal.parent == 0) return false;
  return IN_CHILD_SHARE * arena_mesh_pages_on_old_files() >= renewal.file_pages && os_parent() == renewal.parent;
}

bool mesh_renewal_begin(uint64_t now_ms, uint64_t *due_ms) {
  renewal.cursor = 1;
  renewal.found = false;
  if (!is_better_shared()) return true;
  *due_ms = put_off(now_ms, LONG_MS);
  return false;
}

/* Renews the stale spans that stand in a row from `page` on. Returns their pages. */
static uint32_t renew_row(uint32_t page, uint32_t end) {
  const unsigned c = class_at(page_address(page));
  if (c < CLASS_FIRST || c >= CLASS_END) return 0;
  const uint32_t span_pages = size_classes[c].span_pages;
  uint32_t n = 0;
  lock_acquire(&class_heaps[c].lock);
  while (n < SPANS_MAX && page + (n + 1) * span_pages <= end && mesh_is_stale(page + n * span_pages, c)) n++;
  if (n > 0) mesh_renew(c, page, n);
  lock_release(&class_heaps[c].lock);
  return n * span_pages;
}

bool mesh_renewal_step(uint64_t now_ms) {
  const uint32_t end = arena.frontier; /* read without its lock: only grows, later spans are not stale */
  const uint32_t stop = (uint32_t)min_size(end, (size_t)renewal.cursor + LOOK_PAGES);
  uint32_t renewed = 0;
  while (renewal.cursor < stop && renewed == 0) {
    renewed = renew_row(renewal.cursor, end);
    renewal.cursor += renewed > 0 ? renewed : 1;
    renewal.found |= renewed > 0;
  }
  if (renewal.cursor < end) return true;
  renewal.pending = arena_mesh_pages_on_old_files() > 0;
  put_off(now_ms, renewal.found ? MESH_BACKOFF_MAX_MS : LONG_MS);
  return false;
}
