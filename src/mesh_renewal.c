#include "mesh_renewal.h"

#include "mesh_apply.h"

enum {
  LOOK_PAGES = 1024, /* pages looked at in a step, if there is nothing to do */
  SPANS_MAX = 32,    /* moved in one hold of the class lock */
};

static struct {
  bool pending;    /* (mesh lock) */
  uint64_t due_ms; /* (mesh lock) */
  uint32_t cursor; /* (mesh lock) next page */
} renewal;

void mesh_renewal_schedule(uint64_t due_ms) {
  renewal.pending = true;
  renewal.due_ms = due_ms;
  renewal.cursor = 1;
}

void mesh_renewal_forget(void) { renewal.pending = false; }

bool mesh_renewal_pending(uint64_t *due_ms) {
  *due_ms = renewal.due_ms;
  return renewal.pending;
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

bool mesh_renewal_step(void) {
  const uint32_t end = arena.frontier; /* read without its lock: only grows, later spans are not stale */
  const uint32_t stop = (uint32_t)min_size(end, (size_t)renewal.cursor + LOOK_PAGES);
  uint32_t renewed = 0;
  while (renewal.cursor < stop && renewed == 0) {
    renewed = renew_row(renewal.cursor, end);
    renewal.cursor += renewed > 0 ? renewed : 1;
  }
  renewal.pending = renewal.cursor < end;
  return renewal.pending;
}
