#include "pin.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "os.h"

/* How often each span is pinned, by the page it starts at; made at the first pin. Entries (S). */
static _Atomic uint16_t *_Atomic pins;

static _Atomic uint16_t *make_pins(void) {
  _Atomic uint16_t *fresh = os_map_sparse(arena.pages_reserved * sizeof *fresh), *expected = NULL;
  if (fresh == NULL) return load_acquire(&pins); /* acquire: the exchange below */
  if (atomic_compare_exchange_strong(&pins, &expected, fresh)) return fresh;
  os_unmap((void *)fresh, arena.pages_reserved * sizeof *fresh);
  return expected;
}

/* A span in a group leaves it: a frame is parted from it by the next fork. If the system has no room for
 * that, or a system call under way may write there, it stays. (mesh lock, S) */
static void take_out(ClassHeap *h, uint32_t page) {
  MiniHeap *mh = miniheap_of(page);
  const uint32_t leader = mh->leader, frame = mh->frame, pages = size_classes[mh->size_class].span_pages;
  if (!arena_mesh_take_out(page, pages)) return;
  bin_remove(h, miniheap_of(leader));
  uint32_t rest = mesh_group_split(page);
  rebin(h, page, mh);
  if (rest == 0) {
    arena_mesh_release_frame(frame, pages);
    return;
  }
  rebin(h, rest, miniheap_of(rest));
  h->members--;
  sub_relaxed(&mesh_pages_released, pages);
}

/* Adds to the pins of all spans of the range, which lies in the arena. */
static void count(_Atomic uint16_t *table, const char *p, size_t size, bool more) {
  const uint32_t last = page_of(p + size - 1);
  for (uint32_t page = page_of(p); page <= last; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END) continue;
    lock_acquire(&class_heaps[c].lock);
    uint32_t head = page - miniheap_of(page)->offset;
    if (more && frame_is_current(miniheap_of(head)->frame)) take_out(&class_heaps[c], head);
    uint16_t n = load_relaxed(&table[head]);
    if (head == page || page == page_of(p)) {
      if (more && n < UINT16_MAX) store_relaxed(&table[head], (uint16_t)(n + 1));
      if (!more && n > 0) store_relaxed(&table[head], (uint16_t)(n - 1));
    }
    lock_release(&class_heaps[c].lock);
  }
}

bool pin(const void *p, size_t size) {
  if (size == 0 || !arena_contains(p)) return true;
  _Atomic uint16_t *table = load_acquire(&pins); /* acquire: the exchange in make_pins */
  if (table == NULL && (table = make_pins()) == NULL) return false;
  lock_acquire(mesh_lock());
  count(table, p, size, true);
  lock_release(mesh_lock());
  return true;
}

void unpin(const void *p, size_t size) {
  _Atomic uint16_t *table = load_acquire(&pins); /* acquire: the exchange in make_pins */
  if (table != NULL && size > 0 && arena_contains(p)) count(table, p, size, false);
}

bool pin_holds(uint32_t page) {
  _Atomic uint16_t *table = load_acquire(&pins); /* acquire: the exchange in make_pins */
  return table != NULL && load_relaxed(&table[page]) > 0;
}

void pin_forget(uint32_t page) {
  _Atomic uint16_t *table = load_acquire(&pins); /* acquire: the exchange in make_pins */
  if (table != NULL && load_relaxed(&table[page]) > 0) store_relaxed(&table[page], 0);
}
