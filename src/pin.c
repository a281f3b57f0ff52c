#include "pin.h"

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

/* Adds to the pins of all spans of the range, which lies in the arena. */
static void count(_Atomic uint16_t *table, const char *p, size_t size, bool more) {
  const uint32_t last = page_of(p + size - 1);
  for (uint32_t page = page_of(p); page <= last; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END) continue;
    lock_acquire(&class_heaps[c].lock);
    uint32_t head = page - miniheap_of(page)->offset;
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
  count(table, p, size, true);
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

bool pin_covers(const void *p) {
  unsigned c = class_at(p);
  return c >= CLASS_FIRST && c < CLASS_END && pin_holds(page_of(p) - miniheap_of(page_of(p))->offset);
}

void pin_forget(uint32_t page) {
  _Atomic uint16_t *table = load_acquire(&pins); /* acquire: the exchange in make_pins */
  if (table != NULL && load_relaxed(&table[page]) > 0) store_relaxed(&table[page], 0);
}
